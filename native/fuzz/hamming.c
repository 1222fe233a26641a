/* An index over few and alike keys against all keys one by one; then the same index damaged, which must end in an error
 * or in some answer, and never outside its buffer. */
#include "driver.h"
#include "../hamming.c"

static void bands_into(uint8_t *index, uint64_t count, size_t *bytes) {
    static const uint32_t bits[16] = {8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8};
    uint32_t bands = 16, shift = 0;
    uint64_t end = AT_KEYS + count * KEY_BYTES;
    memcpy(index, MAGIC, 8), memcpy(index + AT_COUNT, &count, 8), memcpy(index + AT_BANDS, &bands, 4);
    for (int k = 0; k < KEY_BITS; k++) index[AT_ORDER + k] = (uint8_t)(k * 37);
    for (uint32_t b = 0; b < bands; b++, shift += 16) {
        const Band band = {shift, bits[b], 1 + b % 2, 0, end, end + 4 * ((1u << bits[b]) + 1)};
        memcpy(index + AT_BAND + 32 * b, &band, sizeof band);
        end = band.ids + 4 * count;
    }
    *bytes = (size_t)end;
}

static void try_input(const uint8_t *data, size_t size) {
    const size_t count = size / 8 % 40, queries = 5;
    static uint8_t index[AT_KEYS + 40 * KEY_BYTES + 16 * 4 * (257 + 40)];
    uint8_t keys[40 * KEY_BYTES] = {0}, asked[5 * KEY_BYTES] = {0};
    size_t bytes, used;
    int64_t *triples;
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < 8; i++) keys[k * KEY_BYTES + data[8 * k] % 25 + i % 7] ^= data[8 * k + i];
    for (size_t q = 0; q < queries && count; q++) {
        memcpy(asked + q * KEY_BYTES, keys + q % count * KEY_BYTES, KEY_BYTES);
        if (size > q) asked[q * KEY_BYTES + data[q] % 32] ^= data[size - 1 - q];
    }
    memset(index, 0, sizeof index);
    bands_into(index, count, &bytes);
    MUST(vetset_hamming_build(index, bytes, keys, count));
    const int radius = size ? data[size - 1] % 32 : 0;
    MUST(vetset_hamming_within(index, bytes, asked, queries, radius, &triples, &used) == OK);
    size_t at = 0;
    for (size_t q = 0; q < queries; q++)
        for (size_t k = 0; k < count; k++) {
            int distance = 0;
            for (int i = 0; i < KEY_BYTES; i++) distance += __builtin_popcount(asked[q * KEY_BYTES + i] ^ keys[k * KEY_BYTES + i]);
            if (distance > radius) continue;
            MUST(at < used && triples[3 * at] == (int64_t)q && triples[3 * at + 1] == (int64_t)k && triples[3 * at + 2] == distance);
            at++;
        }
    MUST(at == used);
    free(triples);
    uint8_t *damaged = malloc(bytes);
    MUST(damaged);
    memcpy(damaged, index, bytes);
    for (size_t k = 0; k + 2 < size && k < 30; k += 3) damaged[(data[k] * 256u + data[k + 1]) % bytes] ^= data[k + 2];
    for (size_t k = 0; k + 2 < size && k < 9; k += 3) damaged[(data[k] * 7u + data[k + 1]) % AT_KEYS] ^= data[k + 2];
    vetset_hamming_within(damaged, bytes, asked, queries, radius, &triples, &used);
    free(triples), free(damaged);
}
