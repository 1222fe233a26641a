/* An index over few and alike keys against all keys one by one, within what its bands are planned for and beyond; then
 * the same index damaged, here and there or a whole table of it, which must end in an error or in pairs that are true,
 * and never outside its buffer. */
#include "driver.h"
static uint64_t by_bands_at_most; /* varies, so that both ways of searching are gone */
#define PER_MILLE_BY_BANDS by_bands_at_most
#include "../hamming.c"

enum { BANDS = 16, BITS = 8, QUERIES = 5, TABLE_BYTES = ((1 << (BITS - LOW_BITS)) + 1) * BLOCK_BYTES };

static uint8_t *laid_out(uint64_t count, uint32_t width, size_t *bytes) {
    const uint32_t bands = BANDS;
    uint64_t end = AT_TABLES;
    *bytes = AT_TABLES + BANDS * (TABLE_BYTES + (size_t)count * width + 8);
    uint8_t *index = calloc(*bytes, 1);
    MUST(index);
    memcpy(index, MAGIC, 8), memcpy(index + AT_COUNT, &count, 8), memcpy(index + AT_BANDS, &bands, 4);
    for (int k = 0; k < KEY_BITS; k++) index[AT_ORDER + k] = (uint8_t)(k * 37);
    for (uint32_t b = 0; b < bands; b++) {
        const Band band = {16 * b, BITS, b % 3, width, end, end + TABLE_BYTES};
        memcpy(index + AT_BAND + 32 * b, &band, sizeof band);
        end = band.entries + count * width + 8;
    }
    MUST(end == *bytes);
    return index;
}

typedef struct { uint8_t *heads, *tails; } Halves;

static Halves halves_of(const uint8_t *keys, size_t count) {
    const Halves made = {malloc(count ? count * HEAD_BYTES : 1), malloc(count ? count * TAIL_BYTES : 1)};
    MUST(made.heads && made.tails);
    for (size_t k = 0; k < count; k++) {
        uint64_t head = 0;
        for (int byte = 0; byte < HEAD_BYTES; byte++) head = head << 8 | keys[k * KEY_BYTES + byte];
        memcpy(made.heads + k * HEAD_BYTES, &head, HEAD_BYTES);
        memcpy(made.tails + k * TAIL_BYTES, keys + k * KEY_BYTES + HEAD_BYTES, TAIL_BYTES);
    }
    return made;
}

static int apart(const uint8_t *one, const uint8_t *other) {
    int bits = 0;
    for (int byte = 0; byte < KEY_BYTES; byte++) bits += __builtin_popcount(one[byte] ^ other[byte]);
    return bits;
}

/* Turns over r + 1 bits in each band but one, which has r: the farthest key that the bands must still find. */
static void set_apart(const uint8_t *index, uint8_t *key, uint8_t choice) {
    for (uint32_t b = 0; b < BANDS; b++)
        for (uint32_t k = b == choice % BANDS; k < b % 3 + 1; k++) {
            const uint8_t bit = index[AT_ORDER + 16 * b + (choice / 16 + k * (1 + choice % 3)) % BITS];
            key[KEY_BYTES - 1 - bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
}

/* Numbers about the edge of what is allowed over a table of a band, or its place moved, or bytes anywhere. */
static void damage(uint8_t *index, size_t bytes, uint32_t count, const uint8_t *data, size_t size) {
    Band band;
    uint8_t *line = index + AT_BAND + 32 * (data[size / 2] % BANDS);
    memcpy(&band, line, sizeof band);
    for (size_t k = 0; k < TABLE_BYTES / BLOCK_BYTES && data[0] % 4 == 0; k++) {
        const uint32_t edge = count - 2 + data[k % size] % 5 + (data[k % size] % 7 ? 0 : CROWDED - data[k % size] % 2);
        memcpy(index + band.blocks + BLOCK_BYTES * k, &edge, 4);
    }
    for (size_t k = 0; k < count && data[0] % 4 == 1; k++) {
        const uint64_t entry = word_at(index + band.entries + band.width * k) | (data[k % size] % 64);
        memcpy(index + band.entries + band.width * k, &entry, band.width);
    }
    uint64_t *place = data[size / 3] % 2 ? &band.entries : &band.blocks;
    *place = data[0] % 8 == 2 ? *place + data[size / 3] : 4u * data[size / 4];
    if (data[0] % 4 == 2) memcpy(line, &band, sizeof band);
    for (size_t k = 0; k + 2 < size && k < 30 && data[0] % 4 == 3; k += 3)
        index[(data[k] * 256u + data[k + 1]) % (k % 2 ? bytes : AT_TABLES)] ^= data[k + 2];
}

static void try_input(const uint8_t *data, size_t size) {
    size_t bytes, used, at = 0;
    by_bands_at_most = size ? 1000 * (data[0] % 8) : 0;
    const size_t count = size / 8 % 40;
    uint8_t *index = laid_out(count, size ? 4 + data[size / 5] % 5 : 4, &bytes);
    uint8_t *keys = calloc(count + 1, KEY_BYTES), *asked = calloc(QUERIES, KEY_BYTES);
    MUST(keys && asked);
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < 8; i++) keys[k * KEY_BYTES + data[8 * k] % 25 + i % 7] ^= data[8 * k + i];
    for (size_t q = 0; q < QUERIES && count; q++) {
        memcpy(asked + q * KEY_BYTES, keys + q % count * KEY_BYTES, KEY_BYTES);
        if (q < 2) asked[q * KEY_BYTES + data[q] % 32] ^= data[size - 1 - q];
        else set_apart(index, asked + q * KEY_BYTES, data[q]);
    }
    const Halves halves = halves_of(keys, count);
    int64_t *triples;
    MUST(vetset_hamming_build(index, bytes, halves.heads, halves.tails, count) == OK);
    const int radius = size && data[size - 1] % 4 ? data[size - 1] % 48 : 30; /* the bands are exact up to 30 */
    const int done = vetset_hamming_within(index, bytes, halves.heads, halves.tails, count, asked, QUERIES, radius,
                                           &triples, &used);
    MUST(done == OK);
    for (size_t q = 0; q < QUERIES; q++)
        for (size_t k = 0; k < count; k++) {
            const int distance = apart(asked + q * KEY_BYTES, keys + k * KEY_BYTES);
            if (distance > radius) continue;
            const int64_t pair[3] = {(int64_t)q, (int64_t)k, distance};
            MUST(at < used && !memcmp(triples + 3 * at++, pair, sizeof pair));
        }
    MUST(at == used);
    free(triples);
    if (size) damage(index, bytes, (uint32_t)count, data, size);
    const size_t length = size && data[0] % 16 == 15 ? (data[size / 3] * 256u + data[size / 4]) % bytes : bytes;
    uint8_t *cut = block_of(index, length);
    vetset_hamming_within(cut, length, halves.heads, halves.tails, count, asked, QUERIES, radius, &triples, &used);
    for (size_t k = 0; k < used; k++) {
        const int64_t q = triples[3 * k], position = triples[3 * k + 1];
        MUST(q >= 0 && q < QUERIES && position >= 0 && position < (int64_t)count);
        MUST(apart(asked + q * KEY_BYTES, keys + position * KEY_BYTES) == triples[3 * k + 2]);
    }
    free(triples);
    /* A damaged header is refused, or what it names lies within. */
    vetset_hamming_build(cut, length, halves.heads, halves.tails, count);
    free(cut), free(index), free(halves.heads), free(halves.tails), free(keys), free(asked);
}
