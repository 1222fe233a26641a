/* Keyed hashes of a column, and where they meet others (kernels/bearing.py defines both): BLAKE2b of 8 bytes under a key
 * (RFC 7693), four or eight values side by side (bearing_lanes.h).
 *
 * The block that holds the key is the same for all values, so it is compressed once. Values are not empty: an empty one
 * would make the block of the key its last.
 */
#include "native.h"
#include <stdlib.h>

enum { BLOCK = 128, ROUNDS = 12, WORDS = 16 };
#define INLINE static inline __attribute__((always_inline))

static const uint64_t START[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                  0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
static const uint8_t ORDER[10][WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

#define RIGHT(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define MIX(a, b, c, d, x, y)                                                                                          \
    a += b + (x), d = RIGHT(d ^ a, 32), c += d, b = RIGHT(b ^ c, 24);                                                  \
    a += b + (y), d = RIGHT(d ^ a, 16), c += d, b = RIGHT(b ^ c, 63)

typedef struct { const uint8_t *at; size_t left, row; uint64_t done; int busy; } Lane;

INLINE void take_next(Lane *lane, const int64_t *offsets, const uint8_t *data, const uint8_t *mask, size_t count,
                      size_t *next) {
    while (*next < count && !mask[*next]) ++*next;
    lane->busy = *next < count;
    lane->at = data, lane->left = 0, lane->done = BLOCK;
    if (!lane->busy) return;
    lane->row = (*next)++;
    lane->at += offsets[lane->row];
    lane->left = (size_t)(offsets[lane->row + 1] - offsets[lane->row]);
}

#define LANES 4
#define NAME(x) x##_of_4
#include "bearing_lanes.h"
#if defined(__x86_64__)
#define LANES 8
#define NAME(x) x##_of_8
#include "bearing_lanes.h"
#endif

#define ARGUMENTS                                                                                                      \
    const int64_t *offsets, const uint8_t *data, const uint8_t *mask, size_t count, const uint8_t *key,                \
        size_t key_bytes, uint64_t *out
static void hash_plain(ARGUMENTS) { hash_all_of_4(offsets, data, mask, count, key, key_bytes, out); }
#if defined(__x86_64__)
__attribute__((target("avx2"))) static void hash_avx2(ARGUMENTS) {
    hash_all_of_4(offsets, data, mask, count, key, key_bytes, out);
}
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) static void hash_avx512(ARGUMENTS) {
    hash_all_of_8(offsets, data, mask, count, key, key_bytes, out);
}
#endif

/* out[i]: the keyed hash of value i where the mask is set; the rest is left as it is. Values under the mask are not empty. */
void vetset_keyed_hashes(ARGUMENTS) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        hash_avx512(offsets, data, mask, count, key, key_bytes, out);
    else if (__builtin_cpu_supports("avx2")) hash_avx2(offsets, data, mask, count, key, key_bytes, out);
    else
#endif
        hash_plain(offsets, data, mask, count, key, key_bytes, out);
}

/* --- meetings ------------------------------------------------------------------------------------------------------- */

/* Keyed hashes within records, one each; all that is asked are ascending. */
typedef struct { const uint8_t *records; size_t count, record_bytes, at; const uint64_t *ranked; size_t asked; } Asked;
typedef struct { int64_t *pairs; size_t count, room; } Met; /* (record, first place among the asked) */

static uint64_t hash_at(const Asked *asked, size_t record) {
    uint64_t hash;
    memcpy(&hash, asked->records + record * asked->record_bytes + asked->at, sizeof hash);
    return hash;
}

static size_t first_place(const uint64_t *ranked, size_t count, uint64_t hash) {
    size_t low = 0;
    while (count) {
        const size_t half = count / 2;
        if (ranked[low + half] < hash) low += half + 1, count -= half + 1;
        else count = half;
    }
    return low;
}

static int put(Met *met, size_t record, size_t place) {
    if (met->count + 2 > met->room) {
        const size_t room = met->room ? 2 * met->room : 256;
        int64_t *pairs = realloc(met->pairs, room * sizeof *pairs);
        if (!pairs) return 0;
        met->pairs = pairs, met->room = room;
    }
    met->pairs[met->count++] = (int64_t)record, met->pairs[met->count++] = (int64_t)place;
    return 1;
}

/* Hashes are even, so their lowest bits say in a table of 16 to 32 bits a hash that most of them meet nothing. Whether
 * there was memory. */
static int meet(const Asked *asked, Met *met) {
    size_t bits = 4096;
    while (bits / 16 < asked->asked) bits *= 2;
    uint64_t *table = calloc(bits / 64, sizeof *table);
    int memory = table != NULL;
    for (size_t k = 0; memory && k < asked->asked; k++) {
        const size_t bit = asked->ranked[k] & (bits - 1);
        table[bit / 64] |= (uint64_t)1 << bit % 64;
    }
    for (size_t i = 0; memory && i < asked->count; i++) {
        const uint64_t hash = hash_at(asked, i);
        const size_t bit = hash & (bits - 1);
        if (!hash || !(table[bit / 64] >> bit % 64 & 1)) continue;
        const size_t place = first_place(asked->ranked, asked->asked, hash);
        if (place < asked->asked && asked->ranked[place] == hash) memory = put(met, i, place);
    }
    free(table);
    return memory;
}

#ifndef VETSET_FUZZ
int vetset_column_holds(const int64_t *offsets, size_t offsets_count, size_t data_bytes, size_t first, size_t count);

static PyObject *keyed_hashes(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, mask, key, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "y*y*ny*y*w*", &offsets, &data, &first, &mask, &key, &out)) return NULL;
    const size_t count = (size_t)mask.len;
    int sound = first >= 0 && key.len > 0 && key.len <= 64 && (size_t)out.len == count * 8 &&
                vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    const int64_t *at = (const int64_t *)offsets.buf + (first > 0 ? first : 0);
    for (size_t i = 0; sound && i < count; i++) sound = !((const uint8_t *)mask.buf)[i] || at[i + 1] > at[i];
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        vetset_keyed_hashes(at, data.buf, mask.buf, count, key.buf, (size_t)key.len, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&mask), PyBuffer_Release(&key), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    Py_RETURN_NONE;
}

static PyObject *meetings(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer records, ranked;
    Py_ssize_t record_bytes, at;
    if (!PyArg_ParseTuple(args, "y*nny*", &records, &record_bytes, &at, &ranked)) return NULL;
    const int sound = record_bytes >= 8 && at >= 0 && at <= record_bytes - 8 && records.len % record_bytes == 0;
    Met met = {NULL, 0, 0};
    int memory = 1;
    if (sound) {
        const Asked asked = {records.buf, (size_t)(records.len / record_bytes), (size_t)record_bytes, (size_t)at, ranked.buf,
                             (size_t)ranked.len / 8};
        Py_BEGIN_ALLOW_THREADS
        memory = meet(&asked, &met);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&records), PyBuffer_Release(&ranked);
    PyObject *pairs = NULL;
    if (!sound) PyErr_SetString(PyExc_ValueError, "the records have another shape");
    else if (!memory) PyErr_NoMemory();
    else pairs = PyBytes_FromStringAndSize((const char *)met.pairs, (Py_ssize_t)(met.count * sizeof *met.pairs));
    free(met.pairs);
    return pairs;
}

PyMethodDef bearing_methods[] = {
    {"meetings", meetings, METH_VARARGS, "meetings(records, record_bytes, at, ranked) -> pairs of (record, place)."},
    {"keyed_hashes", keyed_hashes, METH_VARARGS, "keyed_hashes(offsets, data, first, mask, key, out)."},
    {NULL, NULL, 0, NULL},
};
#endif
