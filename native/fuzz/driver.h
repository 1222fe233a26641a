/* One driver for each file of native/: it includes that file with VETSET_FUZZ defined, which leaves its Python glue out,
 * and gives `try_input`, which makes a case of any bytes and aborts where an answer is wrong.
 *
 * tests/fuzz_native.py builds every driver with AddressSanitizer and UndefinedBehaviorSanitizer and runs it: with
 * libFuzzer where clang has it, else with the generator below. Memory is handed out in blocks of exactly the size that
 * the case has, so that one byte too far is seen.
 */
#ifndef VETSET_FUZZ_DRIVER_H
#define VETSET_FUZZ_DRIVER_H

#define VETSET_FUZZ
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void try_input(const uint8_t *data, size_t size);

#define MUST(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "wrong: %s, line %d\n", #what, __LINE__);                                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A copy in a block of its own size; never NULL. */
static void *block_of(const void *data, size_t size) {
    uint8_t *block = malloc(size ? size : 1);
    MUST(block);
    if (size) memcpy(block, data, size);
    return block;
}

#ifdef VETSET_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_input(data, size);
    return 0;
}
#else
static uint64_t state = 88172645463325252u;
static uint64_t next_number(void) { state ^= state << 13, state ^= state >> 7, state ^= state << 17; return state; }

/* seed rounds: random bytes of random lengths, runs of equal bytes among them. */
int main(int count, char **words) {
    uint8_t data[4096];
    const unsigned long rounds = count > 2 ? strtoul(words[2], NULL, 10) : 1000;
    state ^= count > 1 ? strtoul(words[1], NULL, 10) * 0x9e3779b97f4a7c15u : 0;
    for (unsigned long r = 0; r < rounds; r++) {
        const size_t size = next_number() % (r % 8 ? 256 : sizeof data);
        for (size_t k = 0; k < size; k++) data[k] = next_number() % 4 || !k ? (uint8_t)next_number() : data[k - 1];
        try_input(data, size);
    }
    printf("%lu\n", rounds);
    return 0;
}
#endif
#endif
