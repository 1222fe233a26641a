/* Exact membership among sorted keys behind the prefilter (kernels/membership.py defines both).
 *
 * Digests are uniform, so a key's place is guessed from its first eight bytes and looked for from there. The filter is
 * asked for a batch of digests at once, and so are the keys, so that cache misses overlap.
 */
#include "native.h"

enum { BATCH = 64, HEAD = 8, CORRECTIONS = 2 };

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
static size_t first_not_below(const Keys *keys, uint64_t head, size_t guess) {
    const uint64_t *heads = keys->heads;
    size_t low, high, step = 4;
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

/* Where a head should stand if those around it are spread evenly: a guess corrected by what stands at it. */
static inline size_t corrected(const Keys *keys, uint64_t head, size_t guess) {
    const uint64_t there = keys->heads[guess];
    const size_t last = keys->count - 1;
    if (head >= there) {
        const size_t ahead = (size_t)(((unsigned __int128)(head - there) * keys->count) >> 64);
        return ahead < last - guess ? guess + ahead : last;
    }
    const size_t behind = (size_t)(((unsigned __int128)(there - head) * keys->count) >> 64);
    return behind < guess ? guess - behind : 0;
}

static int64_t place_from(const Keys *keys, const uint8_t *digest, uint64_t head, size_t at) {
    const size_t tail = keys->width - HEAD;
    for (; at < keys->count && keys->heads[at] == head; at++)
        if (!memcmp(keys->tails + at * tail, digest + HEAD, tail)) return (int64_t)at;
    return -1;
}

/* The places of a batch of digests, step by step for all of them, so that each waits for memory beside the others.
 * Of n even heads a first guess is off by the root of n at worst, a second by the root of that; two corrections bring
 * ten million within a cache line. Heads that are not even cost the doubling steps, never an answer. */
static void search(const Keys *keys, const uint8_t *digests, const size_t *rows, size_t count, int64_t *out) {
    uint64_t head[BATCH];
    size_t at[BATCH];
    for (size_t k = 0; k < count; k++) {
        head[k] = head_of(digests + rows[k] * keys->width);
        at[k] = (size_t)(((unsigned __int128)head[k] * keys->count) >> 64);
        __builtin_prefetch(keys->heads + at[k]);
    }
    for (int turn = 0; turn < CORRECTIONS; turn++)
        for (size_t k = 0; k < count; k++) {
            at[k] = corrected(keys, head[k], at[k]);
            __builtin_prefetch(keys->heads + at[k]);
        }
    for (size_t k = 0; k < count; k++) {
        at[k] = first_not_below(keys, head[k], at[k]);
        if (at[k] < keys->count) __builtin_prefetch(keys->tails + at[k] * (keys->width - HEAD));
    }
    for (size_t k = 0; k < count; k++) out[rows[k]] = place_from(keys, digests + rows[k] * keys->width, head[k], at[k]);
}

/* out[i]: the place of digest i among the keys, or -1. All sizes were checked by the caller; count and words are not 0.
 * What passes the filter is gathered from several batches before it is searched for: of strangers little passes. */
static void vetset_positions(const Keys *keys, const uint8_t *digests, const uint8_t *present, size_t rows, int64_t *out) {
    size_t passing[2 * BATCH], passed = 0;
    for (size_t first = 0; first < rows; first += BATCH) {
        const size_t batch = rows - first < BATCH ? rows - first : BATCH;
        uint64_t word[BATCH];
        for (size_t k = 0; k < batch; k++) {
            const uint64_t high = head_of(digests + (first + k) * keys->width) >> 32;
            word[k] = high * keys->words_count >> 32;
            __builtin_prefetch(keys->words + word[k]);
        }
        for (size_t k = 0; k < batch; k++) {
            const uint64_t mask = filter_mask(digests + (first + k) * keys->width);
            out[first + k] = -1;
            passing[passed] = first + k;
            passed += present[first + k] && (keys->words[word[k]] & mask) == mask;
        }
        if (passed < BATCH && first + batch < rows) continue;
        for (size_t done = 0; done < passed; done += BATCH)
            search(keys, digests, passing + done, passed - done < BATCH ? passed - done : BATCH, out);
        passed = 0;
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
