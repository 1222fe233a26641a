/* Addresses that are in normal form already, told without a parser, and their form `tx` (kernels/url.py defines both).
 *
 * The language is that of the regular expression there: http or https; a host of lower-case labels without double
 * hyphens, whose last label starts with a letter; a path of segments that start with a plain character; perhaps a query.
 */
#include "native.h"

enum { LABEL = 1, LETTER = 2, PLAIN = 4, INNER = 8, QUERY = 16 };

static uint8_t CLASSES[256];

__attribute__((constructor)) static void make_classes(void) {
    for (int c = 'a'; c <= 'z'; c++) CLASSES[c] |= LABEL | LETTER | PLAIN;
    for (int c = '0'; c <= '9'; c++) CLASSES[c] |= LABEL | PLAIN;
    for (int c = 'A'; c <= 'Z'; c++) CLASSES[c] |= PLAIN;
    for (const char *p = "_~!$&()*+,;=:@-"; *p; p++) CLASSES[(uint8_t)*p] |= PLAIN;
    for (int c = 0; c < 256; c++) if (CLASSES[c] & PLAIN) CLASSES[c] |= INNER | QUERY;
    CLASSES['.'] |= INNER | QUERY, CLASSES['%'] |= INNER | QUERY, CLASSES['/'] |= QUERY, CLASSES['?'] |= QUERY;
}

/* Bytes of the scheme with its slashes, or 0 if it is neither http nor https. */
static size_t scheme_of(const uint8_t *p, size_t size) {
    if (size >= 7 && !memcmp(p, "http://", 7)) return 7;
    return size >= 8 && !memcmp(p, "https://", 8) ? 8 : 0;
}

int vetset_is_settled(const uint8_t *p, size_t size) {
    const uint8_t *table = CLASSES;
    size_t at = scheme_of(p, size);
    if (!at) return 0;
    int letter = 0;
    for (;;) { /* labels */
        if (at >= size || !(table[p[at]] & LABEL)) return 0;
        letter = table[p[at]] & LETTER;
        while (at < size && (table[p[at]] & LABEL || (p[at] == '-' && at + 1 < size && table[p[at + 1]] & LABEL && p[at - 1] != '-')))
            at++;
        if (at >= size) return 0; /* no path */
        if (p[at] == '.') { at++; continue; }
        break;
    }
    if (!letter || p[at] != '/') return 0;
    while (at < size && p[at] == '/') {
        at++;
        if (at < size && table[p[at]] & PLAIN)
            while (at < size && table[p[at]] & INNER) at++;
    }
    if (at == size) return 1;
    if (p[at] != '?' || ++at == size) return 0;
    while (at < size && table[p[at]] & QUERY) at++;
    return at == size;
}

#ifndef VETSET_FUZZ
int vetset_column_holds(const int64_t *offsets, size_t offsets_count, size_t data_bytes, size_t first, size_t count);

/* settled(offsets, data, first, out): out[i] is 1 where value i is in normal form. */
static PyObject *settled(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "y*y*nw*", &offsets, &data, &first, &out)) return NULL;
    const size_t count = (size_t)out.len;
    const int sound = first >= 0 &&
                      vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        const int64_t *at = (const int64_t *)offsets.buf + first;
        for (size_t i = 0; i < count; i++)
            ((uint8_t *)out.buf)[i] =
                (uint8_t)vetset_is_settled((const uint8_t *)data.buf + at[i], (size_t)(at[i + 1] - at[i]));
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    Py_RETURN_NONE;
}

/* tx(offsets, data, first, settled, new_offsets, new_data) -> bytes used: settled values lower-cased less their scheme;
 * of others nothing. new_offsets holds one more than there are values, new_data as many bytes as the values. */
static PyObject *tx(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, mask, to, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "y*y*ny*w*w*", &offsets, &data, &first, &mask, &to, &out)) return NULL;
    const size_t count = (size_t)mask.len;
    int sound = first >= 0 && (size_t)to.len == 8 * (count + 1) &&
                vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    const int64_t *at = (const int64_t *)offsets.buf + (first > 0 ? first : 0);
    sound = sound && at[count] - at[0] <= out.len;
    size_t used = 0;
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        int64_t *ends = to.buf;
        uint8_t *q = out.buf;
        for (size_t i = 0; i < count; i++) {
            ends[i] = (int64_t)used;
            if (!((const uint8_t *)mask.buf)[i]) continue;
            const uint8_t *p = (const uint8_t *)data.buf + at[i];
            const size_t size = (size_t)(at[i + 1] - at[i]), skip = scheme_of(p, size);
            for (size_t k = skip; k < size; k++) q[used++] = p[k] >= 'A' && p[k] <= 'Z' ? p[k] | 32 : p[k];
        }
        ends[count] = (int64_t)used;
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&mask), PyBuffer_Release(&to), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    return PyLong_FromSize_t(used);
}

PyMethodDef url_methods[] = {
    {"settled", settled, METH_VARARGS, "settled(offsets, data, first, out)."},
    {"tx", tx, METH_VARARGS, "tx(offsets, data, first, settled, new_offsets, new_data) -> bytes used."},
    {NULL, NULL, 0, NULL},
};
#endif
