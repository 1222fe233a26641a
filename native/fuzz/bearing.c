/* Keyed hashes of many values, eight side by side, against each value by itself. */
#include "driver.h"
#include "../bearing.c"

static void try_input(const uint8_t *data, size_t size) {
    enum { MOST = 40 };
    int64_t offsets[MOST + 1] = {0};
    uint8_t mask[MOST], key[64], only[1] = {1};
    uint64_t hashes[MOST] = {0};
    size_t count = 0;
    memset(key, size ? data[0] : 7, sizeof key);
    for (size_t at = 0; count < MOST && at < size; count++) {
        const size_t left = size - at, length = (data[at] & 1 ? data[at] : data[at] * 3) % (left + 1);
        offsets[count + 1] = (int64_t)(at + length);
        mask[count] = length > 0 && data[at] % 7 != 0;
        at += length;
        if (!length) { offsets[count + 1] = (int64_t)at; if (data[at] % 2 == 0) break; at++; offsets[count + 1] = (int64_t)at; mask[count] = 1; }
    }
    uint8_t *values = block_of(data, (size_t)offsets[count]);
    const size_t key_bytes = size % 64 + 1;
    vetset_keyed_hashes(offsets, values, mask, count, key, key_bytes, hashes);
    for (size_t k = 0; k < count; k++) {
        const int64_t alone[2] = {0, offsets[k + 1] - offsets[k]};
        uint64_t hash = 0;
        uint8_t *value = block_of(values + offsets[k], (size_t)alone[1]);
        if (mask[k]) hash_plain(alone, value, only, 1, key, key_bytes, &hash);
        MUST(hash == hashes[k]);
        MUST(!mask[k] || hash);
        free(value);
    }
    free(values);
}
