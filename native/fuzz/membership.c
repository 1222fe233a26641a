/* Positions among sorted keys against a search from the first key on; keys and digests from few values, so that they
 * meet, share their first eight bytes, and stand at the ends. */
#include "driver.h"
#include "../membership.c"

enum { WIDTH = 16 };

static int by_key(const void *one, const void *other) { return memcmp(one, other, WIDTH); }

static void make_key(const uint8_t *data, uint8_t *key) {
    memset(key, data[0] & 1 ? 0xff * (data[0] >> 1 & 1) : data[1], 8);
    if (data[0] & 4) key[data[0] >> 5] = data[1];
    memset(key + 8, data[0] & 8 ? data[1] & 3 : 0, WIDTH - 8);
}

static void try_input(const uint8_t *data, size_t size) {
    const size_t total = size / 2, count = total * 2 / 3, rows = total - count, words_count = count / 4 + 1;
    uint8_t *keys = block_of(NULL, 0);
    free(keys);
    keys = malloc(WIDTH * (count + 1));
    uint8_t *digests = malloc(WIDTH * (rows + 1)), *present = malloc(rows + 1), *tails = malloc(8 * (count + 1));
    uint64_t *heads = malloc(8 * (count + 1)), *words = calloc(words_count, 8);
    int64_t *out = malloc(8 * (rows + 1));
    MUST(keys && digests && present && tails && heads && words && out);
    for (size_t k = 0; k < count; k++) make_key(data + 2 * k, keys + WIDTH * k);
    qsort(keys, count, WIDTH, by_key);
    size_t kept = 0;
    for (size_t k = 0; k < count; k++)
        if (!kept || memcmp(keys + WIDTH * (kept - 1), keys + WIDTH * k, WIDTH))
            memmove(keys + WIDTH * kept++, keys + WIDTH * k, WIDTH);
    for (size_t k = 0; k < kept; k++) {
        heads[k] = head_of(keys + WIDTH * k);
        memcpy(tails + 8 * k, keys + WIDTH * k + 8, 8);
        words[(heads[k] >> 32) * words_count >> 32] |= filter_mask(keys + WIDTH * k);
    }
    for (size_t k = 0; k < rows; k++) make_key(data + 2 * (count + k), digests + WIDTH * k), present[k] = data[2 * k] % 5 != 0;
    heads = realloc(heads, 8 * (kept ? kept : 1)), tails = realloc(tails, 8 * (kept ? kept : 1));
    const Keys table = {heads, tails, words, kept, words_count, WIDTH};
    if (kept) vetset_positions(&table, digests, present, rows, out);
    for (size_t k = 0; kept && k < rows; k++) {
        int64_t wanted = -1;
        for (size_t i = 0; present[k] && i < kept; i++) if (!memcmp(keys + WIDTH * i, digests + WIDTH * k, WIDTH)) wanted = (int64_t)i;
        MUST(out[k] == wanted);
    }
    free(keys), free(digests), free(present), free(tails), free(heads), free(words), free(out);
}
