/* Pages of a Parquet file without some of their rows: its two encodings that no array library knows.
 *
 * In it: the hybrid of run lengths and packed bits (levels, dictionary indices, booleans), and byte arrays with a length
 * before each (apache/parquet-format, Encodings.md). Not in it: headers, compression, values of one width (numpy's).
 * src/vetset/kernels/encoding.py defines what is right, byte for byte. The hot functions know nothing of Python, so that
 * native/fuzz/parquet.c can be built of this file with VETSET_FUZZ defined.
 */
#ifdef VETSET_FUZZ
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#else
#include "native.h"
#endif

enum { GROUP = 8, LONGEST_VARINT = 5, LENGTH_BYTES = 4 };

/* --- the hybrid of runs and packed bits ------------------------------------------------------------------------ */

/* Eight bytes at `at`, with zeros for those beyond the end. */
static uint64_t window(const uint8_t *data, size_t size, size_t at) {
    uint64_t bits = 0;
    if (at + 8 <= size)
        memcpy(&bits, data + at, 8);
    else if (at < size)
        memcpy(&bits, data + at, size - at);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bits = __builtin_bswap64(bits);
#endif
    return bits;
}

static int varint(const uint8_t *data, size_t size, size_t *at, uint32_t *value) {
    uint64_t whole = 0;
    for (int i = 0; i < LONGEST_VARINT; i++) {
        if (*at >= size) return 0;
        uint8_t byte = data[(*at)++];
        whole |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *value = (uint32_t)whole;
            return whole <= UINT32_MAX;
        }
    }
    return 0;
}

/* `count` values of `width` bits (0 to 32) into `out`; 1 if they are all there and fit. */
static int hybrid_decode(const uint8_t *data, size_t size, unsigned width, uint32_t *out, size_t count) {
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    const size_t value_bytes = (width + 7) / 8;
    size_t at = 0, done = 0;
    while (done < count) {
        uint32_t head;
        if (!varint(data, size, &at, &head) || !(head >> 1)) return 0;
        size_t left = count - done, here = head >> 1;
        if (head & 1) {
            size_t packed = here * width; /* bytes of so many groups of eight */
            size_t values = here * GROUP;
            if (values > left) values = left;
            if ((values * width + 7) / 8 > size - at) return 0;
            const uint8_t *from = data + at;
            size_t have = size - at;
            for (size_t i = 0; i < values; i++) {
                size_t bit = i * width;
                out[done + i] = (uint32_t)((window(from, have, bit >> 3) >> (bit & 7)) & mask);
            }
            at += packed < have ? packed : have;
            done += values;
        } else {
            if (value_bytes > size - at) return 0;
            uint64_t value = value_bytes ? window(data, at + value_bytes, at) : 0;
            if (value > mask) return 0;
            at += value_bytes;
            if (here > left) here = left;
            for (size_t i = 0; i < here; i++) out[done + i] = (uint32_t)value;
            done += here;
        }
    }
    return 1;
}

static size_t hybrid_bound(size_t count, unsigned width) {
    return (count / GROUP + 1) * (width + 2 * LONGEST_VARINT) + 2 * LONGEST_VARINT;
}

static size_t put_varint(uint8_t *out, uint64_t value) {
    size_t at = 0;
    for (; value > 0x7f; value >>= 7) out[at++] = (uint8_t)(value | 0x80);
    out[at++] = (uint8_t)value;
    return at;
}

/* How many values from `at` are equal. */
static size_t run_at(const uint32_t *values, size_t count, size_t at) {
    size_t stop = at + 1;
    while (stop < count && values[stop] == values[at]) stop++;
    return stop - at;
}

static size_t put_packed(uint8_t *out, const uint32_t *values, size_t count, unsigned width) {
    uint64_t held = 0, mask = ((uint64_t)1 << width) - 1;
    unsigned bits = 0;
    size_t at = 0, whole = (count + GROUP - 1) / GROUP * GROUP;
    for (size_t i = 0; i < whole; i++) {
        held |= (i < count ? values[i] & mask : 0) << bits;
        for (bits += width; bits >= 8; bits -= 8, held >>= 8) out[at++] = (uint8_t)held;
    }
    return at; /* eight values of any width fill their bytes */
}

/* Runs of eight and more as such, the rest packed in groups of eight; answers the bytes written. */
static size_t hybrid_encode(const uint32_t *values, size_t count, unsigned width, uint8_t *out) {
    size_t at = 0, done = 0;
    while (done < count) {
        size_t run = run_at(values, count, done);
        if (run >= GROUP) {
            at += put_varint(out + at, (uint64_t)run << 1);
            for (unsigned shift = 0; shift < width; shift += 8) out[at++] = (uint8_t)(values[done] >> shift);
            done += run;
            continue;
        }
        size_t stop = done;
        do stop += GROUP;
        while (stop < count && run_at(values, stop + GROUP < count ? stop + GROUP : count, stop) < GROUP);
        if (stop > count) stop = count;
        at += put_varint(out + at, (uint64_t)((stop - done + GROUP - 1) / GROUP) << 1 | 1);
        at += put_packed(out + at, values + done, stop - done, width);
        done = stop;
    }
    return at;
}

/* --- byte arrays ----------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *low, *high; /* NULL while none is kept */
    uint32_t low_size, high_size;
    size_t written;
} Kept;

static int less(const uint8_t *one, uint32_t one_size, const uint8_t *other, uint32_t other_size) {
    int order = memcmp(one, other, one_size < other_size ? one_size : other_size);
    return order < 0 || (order == 0 && one_size < other_size);
}

/* Copies the kept ones of `count` values to `out`, which holds `size` bytes; 1 if all values are there. */
static int byte_arrays(const uint8_t *data, size_t size, const uint8_t *kept, size_t count, uint8_t *out, Kept *found) {
    size_t at = 0, from = 0, written = 0;
    *found = (Kept){0};
    for (size_t i = 0; i < count; i++) {
        if (size - at < LENGTH_BYTES) return 0;
        uint32_t length = (uint32_t)window(data, at + LENGTH_BYTES, at);
        if (length > size - at - LENGTH_BYTES) return 0;
        const uint8_t *value = data + at + LENGTH_BYTES;
        if (!kept[i]) {
            memcpy(out + written, data + from, at - from);
            written += at - from;
            from = at + LENGTH_BYTES + length;
        } else {
            if (!found->low || less(value, length, found->low, found->low_size))
                found->low = value, found->low_size = length;
            if (!found->high || less(found->high, found->high_size, value, length))
                found->high = value, found->high_size = length;
        }
        at += LENGTH_BYTES + (size_t)length;
    }
    memcpy(out + written, data + from, at - from);
    found->written = written + (at - from);
    return 1;
}

#ifndef VETSET_FUZZ
/* --- as Python calls them -------------------------------------------------------------------------------------- */

static PyObject *not_encoded(void) {
    PyErr_SetString(PyExc_ValueError, "not in this encoding");
    return NULL;
}

static int is_width(int width) {
    if (width >= 0 && width <= 32) return 1;
    PyErr_SetString(PyExc_ValueError, "a width from 0 to 32 bits");
    return 0;
}

static PyObject *hybrid_values(PyObject *self, PyObject *arguments) {
    Py_buffer data;
    int width, right = 0;
    Py_ssize_t count;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*in:hybrid_values", &data, &width, &count)) return NULL;
    PyObject *values = NULL;
    if (is_width(width) && count >= 0 && count <= PY_SSIZE_T_MAX / 4)
        values = PyBytes_FromStringAndSize(NULL, count * 4);
    if (values) {
        uint32_t *out = (uint32_t *)(void *)PyBytes_AS_STRING(values);
        Py_BEGIN_ALLOW_THREADS
        right = hybrid_decode(data.buf, (size_t)data.len, (unsigned)width, out, (size_t)count);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    if (values && !right) Py_CLEAR(values);
    return values || PyErr_Occurred() ? values : not_encoded();
}

static PyObject *hybrid_encoded(PyObject *self, PyObject *arguments) {
    Py_buffer values;
    int width;
    size_t written = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*i:hybrid_encoded", &values, &width)) return NULL;
    PyObject *encoded = NULL;
    size_t count = (size_t)values.len / 4;
    if (values.len % 4)
        not_encoded();
    else if (is_width(width))
        encoded = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)hybrid_bound(count, (unsigned)width));
    if (encoded) {
        uint8_t *out = (uint8_t *)PyBytes_AS_STRING(encoded);
        Py_BEGIN_ALLOW_THREADS
        written = hybrid_encode(values.buf, count, (unsigned)width, out);
        Py_END_ALLOW_THREADS
        _PyBytes_Resize(&encoded, (Py_ssize_t)written);
    }
    PyBuffer_Release(&values);
    return encoded;
}

static PyObject *one_value(const uint8_t *value, uint32_t size) {
    if (!value) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)value, size);
}

static PyObject *byte_arrays_kept(PyObject *self, PyObject *arguments) {
    Py_buffer data, kept;
    Kept found = {0};
    int right = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*y*:byte_arrays_kept", &data, &kept)) return NULL;
    PyObject *values = PyBytes_FromStringAndSize(NULL, data.len), *answer = NULL;
    if (values) {
        uint8_t *out = (uint8_t *)PyBytes_AS_STRING(values);
        Py_BEGIN_ALLOW_THREADS
        right = byte_arrays(data.buf, (size_t)data.len, kept.buf, (size_t)kept.len, out, &found);
        Py_END_ALLOW_THREADS
        if (right && !_PyBytes_Resize(&values, (Py_ssize_t)found.written))
            answer = Py_BuildValue("NNN", values, one_value(found.low, found.low_size),
                                   one_value(found.high, found.high_size));
        else
            Py_XDECREF(values);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&kept);
    return answer || PyErr_Occurred() ? answer : not_encoded();
}

PyMethodDef parquet_methods[] = {
    {"hybrid_values", hybrid_values, METH_VARARGS, "kernels.encoding.hybrid_values, as bytes of 32-bit numbers"},
    {"hybrid_encoded", hybrid_encoded, METH_VARARGS, "kernels.encoding.hybrid_encoded of bytes of 32-bit numbers"},
    {"byte_arrays_kept", byte_arrays_kept, METH_VARARGS, "kernels.encoding.byte_arrays_kept, as a plain tuple"},
    {NULL, NULL, 0, NULL},
};
#endif
