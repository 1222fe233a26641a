/* Runs and packed bits there and back; byte arrays walked; snappy made of the case and cut, against the same cut made in
 * what it unfolds to; and all of them over bytes that are nothing of the kind. */
#include "driver.h"
#include "../parquet.c"

static void try_hybrid(const uint8_t *data, size_t size) {
    const unsigned width = size ? data[0] % 33 : 0;
    const size_t count = size;
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    uint32_t *values = malloc(4 * count + 1), *back = malloc(4 * count + 1);
    uint8_t *room = malloc(hybrid_bound(count, width)), *noise = block_of(data, size);
    MUST(values && back && room);
    for (size_t k = 0; k < count; k++) values[k] = (uint32_t)((data[k] % 3 ? (uint64_t)data[k] * 0x9e3779b9u : 1) & mask);
    const size_t written = hybrid_encode(values, count, width, room);
    MUST(written <= hybrid_bound(count, width));
    uint8_t *encoded = block_of(room, written);
    MUST(hybrid_decode(encoded, written, width, back, count));
    MUST(!memcmp(values, back, 4 * count));
    hybrid_decode(noise, size, width, back, count);
    free(values), free(back), free(room), free(noise), free(encoded);
}

static void try_byte_arrays(const uint8_t *data, size_t size) {
    const size_t count = size / 3;
    uint8_t *values = malloc(size * 8 + 1), *kept = malloc(count + 1);
    int64_t *ranges = malloc(16 * (count + 1));
    MUST(values && kept && ranges);
    size_t end = 0, gone = 0, found_gone = 0;
    for (size_t k = 0; k < count; k++) {
        const uint32_t length = data[3 * k] % 9;
        kept[k] = data[3 * k + 1] & 1;
        memcpy(values + end, &length, 4), memset(values + end + 4, data[3 * k + 2], length);
        end += 4 + length, gone += kept[k] ? 0 : 4 + length;
    }
    uint8_t *exact = block_of(values, end), *noise = block_of(data, size);
    Walked found;
    MUST(byte_arrays(exact, end, kept, count, (int)(size & 1), ranges, &found));
    MUST(found.end == end);
    for (size_t k = 0; k < found.ranges; k++) {
        MUST(ranges[2 * k] < ranges[2 * k + 1] && (!k || ranges[2 * k - 1] < ranges[2 * k]));
        found_gone += (size_t)(ranges[2 * k + 1] - ranges[2 * k]);
    }
    MUST(found_gone == gone);
    byte_arrays(noise, size, kept, count, 0, ranges, &found);
    free(values), free(kept), free(ranges), free(exact), free(noise);
}

/* Snappy of the case: literals and copies of all sorts; answers its size, and what it unfolds to. */
static size_t snappy_of(const uint8_t *data, size_t size, Output *to, uint8_t *whole, size_t *whole_size) {
    uint8_t *body = malloc(size * 80 + 64);
    Output elements = {body, 0, size * 80 + 64};
    size_t done = 0;
    MUST(body);
    for (size_t k = 0; k + 2 < size; k += 3) {
        const size_t length = data[k + 1] % 64 + 1, offset = (data[k + 2] | (size_t)data[k] << 6) % (done + 1);
        if (!offset || data[k] % 4 == 0) {
            MUST(put_literal_head(&elements, length));
            for (size_t i = 0; i < length; i++) whole[done + i] = (uint8_t)(data[k + 2] + i * (data[k] & 8));
            MUST(put(&elements, whole + done, length));
        } else {
            MUST(put_copy(&elements, length, offset));
            for (size_t i = 0; i < length; i++) whole[done + i] = whole[done + i - offset];
        }
        done += length;
    }
    to->at = put_varint(to->out, done);
    MUST(put(to, body, elements.at));
    free(body);
    *whole_size = done;
    return to->at;
}

static void try_snappy(const uint8_t *data, size_t size) {
    uint8_t *room = malloc(size * 90 + 64), *space = malloc(size * 64 + 1);
    MUST(room && space);
    Output made = {room, 0, size * 90 + 64};
    size_t whole_size = 0, stays = 0, count = 0;
    const size_t folded_size = snappy_of(data, size, &made, space, &whole_size);
    uint8_t *folded = block_of(room, folded_size), *whole = block_of(space, whole_size), *back = block_of(space, whole_size);
    int64_t *marks = malloc(MARKS(whole_size) * sizeof *marks);
    MUST(marks && snappy_decode(folded, folded_size, back, whole_size, NULL));
    MUST(!memcmp(back, whole, whole_size));
    MUST(snappy_decode(folded, folded_size, back, whole_size, marks));
    MUST(!memcmp(back, whole, whole_size));
    int64_t *ranges = malloc(16 * (size + 1)), *before = malloc(8 * (size + 2));
    uint8_t *wanted = malloc(whole_size + 6), *found = NULL;
    MUST(ranges && before && wanted);
    memcpy(wanted, "levels", 6);
    size_t at = 0;
    for (size_t k = 0; k < size && at < whole_size; k++) {
        const size_t start = at + data[k] + 1, stop = start + data[size - 1 - k] % 40 + 1;
        if (start >= whole_size) break;
        ranges[2 * count] = (int64_t)start, ranges[2 * count + 1] = (int64_t)(stop < whole_size ? stop : whole_size);
        at = (size_t)ranges[2 * count++ + 1];
    }
    at = 0, stays = 6;
    for (size_t k = 0; k <= count; k++) {
        const size_t start = k < count ? (size_t)ranges[2 * k] : whole_size;
        memcpy(wanted + stays, whole + at, start - at), stays += start - at;
        at = k < count ? (size_t)ranges[2 * k + 1] : whole_size;
    }
    MUST(are_ranges(ranges, count, whole_size, before));
    const Gone gone = {ranges, count, before};
    const size_t space_for = size ? data[0] * 40u + 10 : 10;
    Output to = {malloc(space_for), 0, space_for};
    MUST(to.out);
    const uint8_t *first = (const uint8_t *)"levels";
    Output other = {malloc(space_for), 0, space_for};
    MUST(other.out);
    const int fits = snappy_without(folded, folded_size, whole, whole_size, first, 6, &gone, NULL, &to);
    MUST(fits == snappy_without(folded, folded_size, whole, whole_size, first, 6, &gone, marks, &other));
    MUST(!fits || (to.at == other.at && !memcmp(to.out, other.out, to.at)));
    free(other.out);
    if (fits) {
        uint8_t *cut = block_of(to.out, to.at);
        found = malloc(stays);
        MUST(found && snappy_decode(cut, to.at, found, stays, NULL));
        MUST(!memcmp(found, wanted, stays));
        free(cut), free(found);
    }
    for (size_t k = 0; size && k < folded_size; k += 1 + folded_size / 7) folded[k] ^= data[k % size];
    snappy_without(folded, folded_size, whole, whole_size, first, 6, &gone, marks, &to);
    snappy_decode(folded, folded_size, back, whole_size, marks);
    snappy_without(folded, folded_size, whole, whole_size, first, 6, &gone, NULL, &to);
    free(marks), free(room), free(space), free(folded), free(whole), free(back), free(ranges), free(before), free(wanted), free(to.out);
}

static void try_input(const uint8_t *data, size_t size) {
    try_hybrid(data, size);
    try_byte_arrays(data, size);
    try_snappy(data, size);
    uint8_t *noise = block_of(data, size), room[64];
    snappy_decode(noise, size, room, size % sizeof room, NULL);
    free(noise);
}
