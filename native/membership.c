/* Exact membership among sorted keys behind the prefilter (kernels/membership.py defines both).
 *
 * Digests are uniform, so a key's place is guessed from its first eight bytes and looked for from there. The filter is
 * asked for a batch of digests at once, so that its cache misses overlap.
 */
#include "native.h"

enum { BATCH = 64, HEAD = 8 };

static inline uint64_t head_of(const uint8_t *digest) {
    uint64_t head = 0;
    for (int k = 0; k < HEAD; k++) head = head << 8 | digest[k];
    return head;
}

static inline uint64_t filter_mask(const uint8_t *digest) {
    const uint32_t bits = digest[8] | (uint32_t)digest[9] << 8 | (uint32_t)digest[10] << 16 | (uint32_t)digest[11] << 24;
    return (uint64_t)1 << (bits & 63) | (uint64_t)1 << (bits >> 6 & 63) | (uint64_t)1 << (bits >> 12 & 63) |
           (uint64_t)1 << (bits >> 18 & 63);
}

typedef struct { const uint64_t *heads; const uint8_t *tails; const uint64_t *words; size_t count, words_count, width; } Keys;

/* The first place whose head is not smaller: from a guess outwards in doubling steps, then by halves. */
static size_t first_not_below(const Keys *keys, uint64_t head) {
    const uint64_t *heads = keys->heads;
    size_t low, high, guess = (size_t)(((unsigned __int128)head * keys->count) >> 64), step = 16;
    if (heads[guess] < head) {
        low = guess;
        while (low + step < keys->count && heads[low + step] < head) low += step, step *= 2;
        high = low + step < keys->count ? low + step : keys->count;
    } else {
        high = guess;
        while (high > step && heads[high - step] >= head) high -= step, step *= 2;
        low = high > step ? high - step : 0;
        if (heads[low] >= head) return low;
    }
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (heads[middle] < head) low = middle;
        else high = middle;
    }
    return high;
}

static int64_t place_of(const Keys *keys, const uint8_t *digest) {
    const uint64_t head = head_of(digest);
    const size_t tail = keys->width - HEAD;
    for (size_t at = first_not_below(keys, head); at < keys->count && keys->heads[at] == head; at++)
        if (!memcmp(keys->tails + at * tail, digest + HEAD, tail)) return (int64_t)at;
    return -1;
}

/* out[i]: the place of digest i among the keys, or -1. All sizes were checked by the caller; count and words are not 0. */
void vetset_positions(const Keys *keys, const uint8_t *digests, const uint8_t *present, size_t rows, int64_t *out) {
    for (size_t first = 0; first < rows; first += BATCH) {
        const size_t batch = rows - first < BATCH ? rows - first : BATCH;
        uint64_t word[BATCH];
        for (size_t k = 0; k < batch; k++) {
            const uint64_t high = head_of(digests + (first + k) * keys->width) >> 32;
            word[k] = high * keys->words_count >> 32;
            __builtin_prefetch(keys->words + word[k]);
        }
        size_t passing[BATCH], passed = 0;
        for (size_t k = 0; k < batch; k++) {
            const uint64_t mask = filter_mask(digests + (first + k) * keys->width);
            out[first + k] = -1;
            passing[passed] = first + k;
            passed += present[first + k] && (keys->words[word[k]] & mask) == mask;
        }
        for (size_t k = 0; k < passed; k++) out[passing[k]] = place_of(keys, digests + passing[k] * keys->width);
    }
}

#ifndef VETSET_FUZZ
static PyObject *positions(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer heads, tails, words, digests, present, out;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*w*", &heads, &tails, &words, &digests, &present, &out)) return NULL;
    const size_t rows = (size_t)present.len, width = rows ? (size_t)digests.len / rows : 0;
    Keys keys = {heads.buf, tails.buf, words.buf, (size_t)heads.len / 8, (size_t)words.len / 8, width};
    const int sound = width >= 12 && rows * width == (size_t)digests.len && (size_t)out.len == rows * 8 && keys.count &&
                      keys.words_count && keys.words_count <= UINT32_MAX && (size_t)tails.len == keys.count * (width - HEAD);
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        vetset_positions(&keys, digests.buf, present.buf, rows, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&heads), PyBuffer_Release(&tails), PyBuffer_Release(&words);
    PyBuffer_Release(&digests), PyBuffer_Release(&present), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "keys and digests disagree");
    Py_RETURN_NONE;
}

PyMethodDef membership_methods[] = {
    {"positions", positions, METH_VARARGS, "positions(heads, tails, words, digests, present, out)."},
    {NULL, NULL, 0, NULL},
};
#endif
