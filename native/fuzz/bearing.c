/* Keyed hashes of many values, eight side by side, against each value by itself; and meetings of hashes in records of any
 * width against a look at every pair. */
#include "driver.h"
#include "../bearing.c"

static int ascending(const void *one, const void *other) {
    const uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

static void must_meet(const uint8_t *data, size_t size) {
    const size_t record_bytes = 8 + (size ? data[0] % 12 : 0), at = size ? data[0] % (record_bytes - 7) : 0;
    const size_t count = size / record_bytes, asked = count / 2;
    uint8_t *records = block_of(data, count * record_bytes);
    for (size_t k = 0; k < count; k++) /* few values, so that they meet */
        for (size_t byte = 0; byte < 8; byte++) records[k * record_bytes + at + byte] &= byte % 4 ? 0 : 7;
    uint64_t *ranked = malloc(8 * (asked + 1));
    MUST(ranked);
    for (size_t k = 0; k < asked; k++) memcpy(ranked + k, records + 2 * k * record_bytes + at, 8), ranked[k] += data[k] % 2;
    qsort(ranked, asked, 8, ascending);
    uint64_t *exactly = block_of(ranked, 8 * asked);
    const Asked all = {records, count, record_bytes, at, exactly, asked};
    Met met = {NULL, 0, 0};
    MUST(meet(&all, &met));
    size_t next = 0;
    for (size_t k = 0; k < count; k++) {
        uint64_t hash;
        memcpy(&hash, records + k * record_bytes + at, 8);
        for (size_t place = 0; hash && place < asked; place++)
            if (ranked[place] == hash) {
                MUST(next + 2 <= met.count && met.pairs[next] == (int64_t)k && met.pairs[next + 1] == (int64_t)place);
                next += 2;
                break;
            }
    }
    MUST(next == met.count);
    free(met.pairs), free(records), free(ranked), free(exactly);
}

static void try_input(const uint8_t *data, size_t size) {
    must_meet(data, size);
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
