/* Digests of many messages side by side, by every set of instructions there is here, against one message at a time in
 * plain C and a second reading of the padding; hex against what prints it. */
#include "driver.h"
#include "../digest.c"

typedef void (*Many)(const Message *messages, size_t count);

static void md5_alone(const uint8_t *data, size_t size, uint8_t *out) {
    const Message message = {data, size, out};
    Queue queue = {&message, 1, 0};
    md5_plain(&queue);
}

static void sha_alone(const uint32_t *start, int words, Compress compress, const uint8_t *data, size_t size, uint8_t *out) {
    uint32_t state[SHA256_WORDS];
    const size_t blocks = (size + 9 + BLOCK - 1) / BLOCK;
    uint8_t *padded = calloc(blocks, BLOCK);
    MUST(padded);
    memcpy(state, start, sizeof state);
    if (size) memcpy(padded, data, size);
    padded[size] = 0x80;
    for (int k = 0; k < 8; k++) padded[blocks * BLOCK - 1 - k] = (uint8_t)((uint64_t)size * 8 >> (8 * k));
    compress(state, padded, blocks);
    for (int k = 0; k < 4 * words; k++) out[k] = (uint8_t)(state[k / 4] >> (24 - 8 * (k % 4)));
    free(padded);
}

static void sha1_alone(const uint8_t *data, size_t size, uint8_t *out) {
    sha_alone(SHA1_START, SHA1_WORDS, sha1_plain, data, size, out);
}

static void sha256_alone(const uint8_t *data, size_t size, uint8_t *out) {
    sha_alone(SHA256_START, SHA256_WORDS, sha256_plain, data, size, out);
}

static void md5_by_plain_lanes(const Message *messages, size_t count) {
    Queue queue = {messages, count, 0};
    md5_plain(&queue);
}

static void md5_by_avx2(const Message *messages, size_t count) {
    Queue queue = {messages, count, 0};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        md5_avx2(&queue);
        return;
    }
#endif
    md5_plain(&queue);
}

#if defined(__x86_64__)
/* The lanes of AVX-512 in the instructions of AVX2, so that what is done with them is tried on every machine. */
#define TURNED
#define TERNARY
#define TARGET __attribute__((target("avx2")))
#define NAME(x) x##_widest
#define WIDE 16
#include "../digest_md5_lanes.h"
#endif

static void md5_by_widest_lanes(const Message *messages, size_t count) {
    Queue queue = {messages, count, 0};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        md5_widest(&queue);
        return;
    }
#endif
    md5_plain(&queue);
}

static void sha_one_after_other(const Message *messages, size_t count) {
    const Sha sha = {SHA256_START, SHA256_WORDS, sha256_plain, NULL};
    Queue queue = {messages, count, 0};
    sha_one_by_one(&sha, &queue);
}

static void must_agree(Many many, void (*alone)(const uint8_t *, size_t, uint8_t *), size_t width, Message *messages, size_t count) {
    uint8_t one[32];
    many(messages, count);
    for (size_t k = 0; k < count; k++) {
        alone(messages[k].data, messages[k].size, one);
        MUST(!memcmp(one, messages[k].out, width));
    }
}

static void try_input(const uint8_t *data, size_t size) {
    enum { MOST = 70 };
    Message messages[MOST];
    uint8_t *bodies[MOST], *digests = malloc(32 * MOST);
    const size_t count = size ? data[0] % MOST : 0;
    size_t at = 1;
    MUST(digests);
    for (size_t k = 0; k < count; k++) {
        const size_t left = at < size ? size - at : 0, length = left ? data[at] * (data[at] % 3) % (left + 1) : 0;
        bodies[k] = block_of(data + (left ? at : 0), length);
        messages[k] = (Message){bodies[k], length, digests + 32 * k};
        at += length ? length : 1;
    }
    must_agree(vetset_md5, md5_alone, 16, messages, count);
    must_agree(md5_by_plain_lanes, md5_alone, 16, messages, count);
    must_agree(md5_by_avx2, md5_alone, 16, messages, count);
    must_agree(md5_by_widest_lanes, md5_alone, 16, messages, count);
    must_agree(vetset_sha1, sha1_alone, 20, messages, count);
    must_agree(vetset_sha256, sha256_alone, 32, messages, count);
    must_agree(sha_one_after_other, sha256_alone, 32, messages, count);
    for (size_t k = 0; k < count; k++) free(bodies[k]);
    free(digests);
    const size_t width = size / 2 < 32 ? size / 2 : 32;
    uint8_t *text = block_of(data, 2 * width), *value = block_of(data, width);
    const int read = unhex(text, width, value);
    for (size_t k = 0; read && k < width; k++) {
        char digits[3];
        snprintf(digits, sizeof digits, "%02x", value[k]);
        MUST((text[2 * k] | 32) == (uint8_t)(digits[0] | 32) && (text[2 * k + 1] | 32) == (uint8_t)(digits[1] | 32));
    }
    free(text), free(value);
    int64_t offsets[8];
    memset(offsets, 0, sizeof offsets);
    memcpy(offsets, data, size < sizeof offsets ? size : sizeof offsets);
    if (vetset_column_holds(offsets, 8, size, size % 9, size % 7))
        for (size_t k = size % 9; k < size % 9 + size % 7; k++)
            MUST(k + 1 < 8 && offsets[k] >= 0 && offsets[k] <= offsets[k + 1] && (uint64_t)offsets[k + 1] <= size);
}
