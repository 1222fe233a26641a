/* Digests of many strings and of many buffers at once (md5 in digest_md5.h, sha1 and sha256 in digest_sha.h), and hex text
 * read as digests (kernels/digest.py defines them all).
 */
#include "native.h"
#include "digest_md5.h"
#include "digest_sha.h"
#include <stdlib.h>

/* --- hex ---------------------------------------------------------------------------------------------------------- */

static int8_t HEX[256];

__attribute__((constructor)) static void make_hex(void) {
    memset(HEX, -1, sizeof HEX);
    for (int k = 0; k < 10; k++) HEX['0' + k] = (int8_t)k;
    for (int k = 0; k < 6; k++) HEX['a' + k] = HEX['A' + k] = (int8_t)(10 + k);
}

/* Reads 2 * width characters; whether all are hex digits. */
static int unhex(const uint8_t *text, size_t width, uint8_t *out) {
    int bad = 0;
    for (size_t k = 0; k < width; k++) {
        const int high = HEX[text[2 * k]], low = HEX[text[2 * k + 1]];
        bad |= high | low;
        out[k] = (uint8_t)((unsigned)high << 4 | (low & 15));
    }
    return bad >= 0;
}

/* --- columns ------------------------------------------------------------------------------------------------------ */

/* An Arrow column of large binary: `count` values from place `first` of the offsets. Whether its bounds hold. */
int vetset_column_holds(const int64_t *offsets, size_t offsets_count, size_t data_bytes, size_t first, size_t count) {
    if (first > offsets_count || count >= offsets_count - first + (offsets_count > first)) return 0;
    if (offsets_count < first + count + 1) return 0;
    int64_t before = offsets[first];
    if (before < 0) return 0;
    for (size_t i = 1; i <= count; i++) {
        const int64_t end = offsets[first + i];
        if (end < before) return 0;
        before = end;
    }
    return (uint64_t)before <= data_bytes;
}

#ifndef VETSET_FUZZ
typedef struct { const char *name; size_t width; void (*digest)(const Message *messages, size_t count); } Algorithm;

static const Algorithm ALGORITHMS[] = {{"md5", 16, vetset_md5}, {"sha1", 20, vetset_sha1}, {"sha256", 32, vetset_sha256}};

static const Algorithm *algorithm_of(const char *name) {
    for (size_t k = 0; k < sizeof ALGORITHMS / sizeof *ALGORITHMS; k++)
        if (!strcmp(name, ALGORITHMS[k].name)) return ALGORITHMS + k;
    return NULL;
}

enum { AT_ONCE = 4096 };

/* Digests of the rows under the mask, each to its place in `out`. Whether there was memory. */
static int digest_rows(const Algorithm *algorithm, const int64_t *offsets, const uint8_t *data, const uint8_t *mask,
                       size_t count, uint8_t *out) {
    Message *messages = malloc(AT_ONCE * sizeof *messages); /* few, so that they stay in the cache */
    for (size_t i = 0; messages && i < count;) {
        size_t used = 0;
        for (; i < count && used < AT_ONCE; i++)
            if (mask[i])
                messages[used++] = (Message){data + offsets[i], (size_t)(offsets[i + 1] - offsets[i]), out + i * algorithm->width};
        algorithm->digest(messages, used);
    }
    free(messages);
    return messages != NULL;
}

/* column_digests(name, offsets, data, first, mask, out): digests of the rows under the mask into (rows, width). */
static PyObject *column_digests(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    Py_buffer offsets, data, mask, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "sy*y*ny*w*", &name, &offsets, &data, &first, &mask, &out)) return NULL;
    const Algorithm *algorithm = algorithm_of(name);
    const size_t width = algorithm ? algorithm->width : 0, count = (size_t)mask.len;
    const int sound = algorithm && first >= 0 && (size_t)out.len == count * width &&
                      vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    int memory = 1;
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        memory = digest_rows(algorithm, (const int64_t *)offsets.buf + first, data.buf, mask.buf, count, out.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&mask), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    if (!memory) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* body_digests(name, bodies, out): digests of a sequence of buffers into (bodies, width). */
static PyObject *body_digests(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    PyObject *bodies;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "sOw*", &name, &bodies, &out)) return NULL;
    const Algorithm *algorithm = algorithm_of(name);
    const size_t width = algorithm ? algorithm->width : 0;
    PyObject *list = PySequence_Fast(bodies, "bodies are a sequence");
    const size_t count = list ? (size_t)PySequence_Fast_GET_SIZE(list) : 0;
    Py_buffer *views = calloc(count + 1, sizeof *views);
    Message *messages = malloc((count + 1) * sizeof *messages);
    size_t held = 0;
    int done = list && views && messages && algorithm && (size_t)out.len == count * width;
    for (; done && held < count; held++) {
        if (PyObject_GetBuffer(PySequence_Fast_GET_ITEM(list, held), views + held, PyBUF_SIMPLE) < 0) { done = 0; break; }
        messages[held] = (Message){views[held].buf, (size_t)views[held].len, (uint8_t *)out.buf + held * width};
    }
    if (done) {
        Py_BEGIN_ALLOW_THREADS
        algorithm->digest(messages, count);
        Py_END_ALLOW_THREADS
    }
    while (held) PyBuffer_Release(views + --held);
    free(views), free(messages);
    Py_XDECREF(list);
    PyBuffer_Release(&out);
    if (!done) return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "bodies and digests disagree");
    Py_RETURN_NONE;
}

/* column_same(offsets, data, first, offsets2, data2, first2, out): out[i] is 1 where two columns hold the same bytes. */
static PyObject *column_same(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, other_offsets, other_data, out;
    Py_ssize_t first, other_first;
    if (!PyArg_ParseTuple(args, "y*y*ny*y*nw*", &offsets, &data, &first, &other_offsets, &other_data, &other_first, &out))
        return NULL;
    const size_t count = (size_t)out.len;
    const int sound = first >= 0 && other_first >= 0 &&
                      vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count) &&
                      vetset_column_holds(other_offsets.buf, (size_t)other_offsets.len / 8, (size_t)other_data.len,
                                          (size_t)other_first, count);
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        const int64_t *one = (const int64_t *)offsets.buf + first, *two = (const int64_t *)other_offsets.buf + other_first;
        uint8_t *same = out.buf;
        for (size_t i = 0; i < count; i++) {
            const size_t size = (size_t)(one[i + 1] - one[i]);
            same[i] = size == (size_t)(two[i + 1] - two[i]) &&
                      !memcmp((const uint8_t *)data.buf + one[i], (const uint8_t *)other_data.buf + two[i], size);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&other_offsets), PyBuffer_Release(&other_data);
    PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the columns' buffers disagree");
    Py_RETURN_NONE;
}

/* column_unhex(offsets, data, first, present, out): hex digests read; present[i] becomes 1 for a digest, 2 for a value
 * that is neither a digest as it stands nor empty, and which somebody else has to look at. */
static PyObject *column_unhex(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, present, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "y*y*nw*w*", &offsets, &data, &first, &present, &out)) return NULL;
    const size_t count = (size_t)present.len, width = count ? (size_t)out.len / count : 0;
    const int sound = first >= 0 && (size_t)out.len == count * width &&
                      vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        const int64_t *at = (const int64_t *)offsets.buf + first;
        uint8_t *mark = present.buf, *digest = out.buf;
        for (size_t i = 0; i < count; i++, digest += width) {
            const size_t size = (size_t)(at[i + 1] - at[i]);
            const uint8_t *text = (const uint8_t *)data.buf + at[i];
            mark[i] = size == 0 ? 0 : size == 2 * width && unhex(text, width, digest) ? 1 : 2;
            if (mark[i] == 2) memset(digest, 0, width);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&present), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    Py_RETURN_NONE;
}

PyMethodDef digest_methods[] = {
    {"column_digests", column_digests, METH_VARARGS, "Digests of an Arrow column of large binary."},
    {"body_digests", body_digests, METH_VARARGS, "Digests of a sequence of buffers."},
    {"column_same", column_same, METH_VARARGS, "Where two Arrow columns of large binary hold the same bytes."},
    {"column_unhex", column_unhex, METH_VARARGS, "Hex digests of an Arrow column of large binary."},
    {NULL, NULL, 0, NULL},
};
#endif
