/* Thrift's compact protocol, read and written as datasets/compact.py and datasets/thrift.py define it.
 *
 * A struct becomes a dict by field number; typed, each value stands beside its type. Nothing is allocated by a length
 * that was read: every element costs a byte at least, so the data bound all loops; depth is bounded by MOST_DEPTH.
 */
#include "native.h"

enum { MOST_DEPTH = 16 };
enum { T_TRUE = 1, T_FALSE, T_BYTE, T_I16, T_I32, T_I64, T_DOUBLE, T_BINARY, T_LIST, T_SET, T_STRUCT = 12 };
enum { FINE, ENDED, NOT_COMPACT, FAILED };

typedef __int128 Wide; /* a varint here may have 70 bits */
typedef struct { const uint8_t *data; size_t bytes, place; int typed, state; } Reader;

/* What values are made of; the fuzz driver makes none. */
#ifndef VETSET_FUZZ
typedef PyObject *Value;
static Value whole(Wide number) {
    if (number >= INT64_MIN && number <= INT64_MAX) return PyLong_FromLongLong((int64_t)number);
    uint8_t little[16];
    for (int k = 0; k < 16; k++) little[k] = (uint8_t)((unsigned __int128)number >> 8 * k);
    return _PyLong_FromByteArray(little, sizeof little, 1, 1);
}
static Value stretch_of(const uint8_t *data, size_t bytes) { return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)bytes); }
static Value truth(int value) { return PyBool_FromLong(value); }
static Value empty_struct(void) { return PyDict_New(); }
static Value empty_list(void) { return PyList_New(0); }
static void let_go(Value value) { Py_XDECREF(value); }
static Value beside(int kind, Value value) { return value ? Py_BuildValue("(iN)", kind, value) : NULL; }
static int put_item(Value list, Value value) { return value && PyList_Append(list, value) == 0; }
static int put_field(Value fields, Wide number, Value value) {
    Value key = value ? whole(number) : NULL;
    const int done = key && PyDict_SetItem(fields, key, value) == 0;
    let_go(key);
    return done;
}
#else
typedef int Value;
static Value whole(Wide number) { return number == number; }
static Value stretch_of(const uint8_t *data, size_t bytes) { return bytes == 0 || data[0] + data[bytes - 1] >= 0; }
static Value truth(int value) { return value | 1; }
static Value empty_struct(void) { return 1; }
static Value empty_list(void) { return 1; }
static void let_go(Value value) { (void)value; }
static Value beside(int kind, Value value) { return (kind | 1) && value; }
static int put_item(Value list, Value value) { return list && value; }
static int put_field(Value fields, Wide number, Value value) { return fields && value && number == number; }
#endif

static int byte_of(Reader *reader) {
    if (reader->place >= reader->bytes) {
        reader->state = ENDED;
        return 0;
    }
    return reader->data[reader->place++];
}

static Wide varint(Reader *reader) {
    unsigned __int128 value = 0;
    int byte = byte_of(reader);
    for (int shift = 0; reader->state == FINE; byte = byte_of(reader)) {
        value |= (unsigned __int128)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return (Wide)value;
        shift += 7;
        if (shift > 63) reader->state = NOT_COMPACT;
        if (reader->state != FINE) break;
    }
    return 0;
}

static Wide zigzag(Reader *reader) {
    const Wide value = varint(reader);
    return (value >> 1) ^ -(value & 1);
}

static Value stretch(Reader *reader, Wide length) {
    if (reader->state != FINE) return 0;
    if (length > (Wide)(reader->bytes - reader->place)) {
        reader->state = ENDED;
        return 0;
    }
    const uint8_t *start = reader->data + reader->place;
    reader->place += (size_t)length;
    return stretch_of(start, (size_t)length);
}

static Value value_at(Reader *reader, int kind, int depth);

static Value struct_at(Reader *reader, int depth) {
    if (depth > MOST_DEPTH) {
        reader->state = NOT_COMPACT;
        return 0;
    }
    Value fields = empty_struct();
    if (!fields) reader->state = FAILED;
    Wide number = 0;
    while (reader->state == FINE) {
        const int head = byte_of(reader);
        if (reader->state != FINE || !head) break;
        number = head >> 4 ? number + (head >> 4) : zigzag(reader);
        if (reader->state != FINE) break;
        Value value = value_at(reader, head & 15, depth + 1);
        if (value && reader->typed) value = beside(head & 15, value);
        if (reader->state == FINE && !put_field(fields, number, value)) reader->state = FAILED;
        let_go(value);
    }
    if (reader->state == FINE) return fields;
    let_go(fields);
    return 0;
}

static Value list_at(Reader *reader, int depth) {
    if (depth > MOST_DEPTH) {
        reader->state = NOT_COMPACT;
        return 0;
    }
    const int head = byte_of(reader), kind = head & 15;
    const int element = kind == T_TRUE || kind == T_FALSE ? T_BYTE : kind; /* in a list a boolean takes a byte of its own */
    const Wide count = head >> 4 == 15 ? varint(reader) : head >> 4;
    Value items = reader->state == FINE ? empty_list() : 0;
    if (reader->state == FINE && !items) reader->state = FAILED;
    for (Wide k = 0; reader->state == FINE && k < count; k++) {
        Value item = value_at(reader, element, depth + 1);
        if (reader->state == FINE && !put_item(items, item)) reader->state = FAILED;
        let_go(item);
    }
    if (reader->state == FINE) return reader->typed ? beside(kind, items) : items;
    let_go(items);
    return 0;
}

static Value value_at(Reader *reader, int kind, int depth) {
    Value value = 0;
    switch (kind) {
        case T_TRUE: value = truth(1); break;
        case T_FALSE: value = truth(0); break;
        case T_BYTE: value = whole(byte_of(reader)); break;
        case T_I16: case T_I32: case T_I64: value = whole(zigzag(reader)); break;
        case T_DOUBLE: value = stretch(reader, 8); break;
        case T_BINARY: value = stretch(reader, varint(reader)); break;
        case T_LIST: case T_SET: return list_at(reader, depth);
        case T_STRUCT: return struct_at(reader, depth);
        default: reader->state = NOT_COMPACT; return 0;
    }
    if (reader->state == FINE && !value) reader->state = FAILED;
    if (reader->state == FINE) return value;
    let_go(value);
    return 0;
}

#ifndef VETSET_FUZZ
static PyObject *thrift_read(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer data;
    Py_ssize_t place;
    int typed;
    if (!PyArg_ParseTuple(args, "y*np", &data, &place, &typed)) return NULL;
    PyObject *answer = NULL;
    if (place < 0 || place > data.len) PyErr_SetString(PyExc_IndexError, "place");
    else {
        Reader reader = {data.buf, (size_t)data.len, (size_t)place, typed, FINE};
        PyObject *fields = struct_at(&reader, 0);
        if (fields) answer = Py_BuildValue("(Nn)", fields, (Py_ssize_t)reader.place);
        else if (reader.state == ENDED) PyErr_SetString(PyExc_IndexError, "the data end before the struct");
        else if (reader.state == NOT_COMPACT) PyErr_SetString(PyExc_ValueError, "no struct");
    }
    PyBuffer_Release(&data);
    return answer;
}

/* Bytes that grow; `failed` once anything went wrong, `odd` if it is only for Python's numbers to write. */
typedef struct { uint8_t *bytes; size_t used, room; int failed, odd; } Out;

static void put(Out *out, const void *bytes, size_t count) {
    if (out->failed || out->odd) return;
    if (out->used + count > out->room) {
        size_t room = out->room ? out->room : 256;
        while (room < out->used + count) room *= 2;
        uint8_t *fresh = PyMem_Realloc(out->bytes, room);
        if (!fresh) {
            out->failed = 1, PyErr_NoMemory();
            return;
        }
        out->bytes = fresh, out->room = room;
    }
    if (count) memcpy(out->bytes + out->used, bytes, count);
    out->used += count;
}

static void put_byte(Out *out, int byte) {
    const uint8_t one = (uint8_t)byte;
    put(out, &one, 1);
}

static void put_varint(Out *out, uint64_t value) {
    for (; value > 0x7f; value >>= 7) put_byte(out, (int)(value & 0x7f) | 0x80);
    put_byte(out, (int)value);
}

/* A Python number of 64 bits; anything else is odd, or an error. */
static int64_t number_from(Out *out, PyObject *value) {
    PyObject *index = PyNumber_Index(value);
    int beyond = 0;
    const int64_t number = index ? PyLong_AsLongLongAndOverflow(index, &beyond) : 0;
    if (!index || (number == -1 && PyErr_Occurred())) out->failed = 1;
    else if (beyond) out->odd = 1;
    Py_XDECREF(index);
    return number;
}

static void put_number(Out *out, PyObject *value) {
    const int64_t number = number_from(out, value);
    put_varint(out, (uint64_t)number << 1 ^ (uint64_t)(number >> 63));
}

static void put_stretch(Out *out, PyObject *value, int with_length) {
    Py_buffer view;
    if (out->failed || out->odd) return;
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0) {
        out->failed = 1;
        return;
    }
    if (with_length) put_varint(out, (uint64_t)view.len);
    put(out, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
}

static void put_struct(Out *out, PyObject *fields, int depth);

static int pair_of(Out *out, PyObject *pair, int *kind, PyObject **value) {
    if (PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2) {
        *kind = (int)number_from(out, PyTuple_GET_ITEM(pair, 0)), *value = PyTuple_GET_ITEM(pair, 1);
        return !out->failed && !out->odd;
    }
    out->odd = 1;
    return 0;
}

static void put_value(Out *out, int kind, PyObject *value, int depth);

static void put_list(Out *out, PyObject *pair, int depth) {
    int kind;
    PyObject *items;
    if (!pair_of(out, pair, &kind, &items)) return;
    if (!PyList_Check(items)) {
        out->odd = 1;
        return;
    }
    const Py_ssize_t count = PyList_GET_SIZE(items);
    if (count < 15) put_byte(out, (int)count << 4 | kind);
    else put_byte(out, 0xf0 | kind), put_varint(out, (uint64_t)count);
    const int element = kind == T_TRUE || kind == T_FALSE ? T_BYTE : kind;
    for (Py_ssize_t k = 0; !out->failed && !out->odd && k < PyList_GET_SIZE(items); k++) {
        PyObject *item = PyList_GET_ITEM(items, k);
        Py_INCREF(item);
        put_value(out, element, item, depth);
        Py_DECREF(item);
    }
}

static void put_value(Out *out, int kind, PyObject *value, int depth) {
    if (out->failed || out->odd) return;
    switch (kind) {
        case T_I16: case T_I32: case T_I64: put_number(out, value); break;
        case T_BINARY: put_stretch(out, value, 1); break;
        case T_LIST: case T_SET: put_list(out, value, depth + 1); break;
        case T_STRUCT: put_struct(out, value, depth + 1); break;
        case T_DOUBLE: put_stretch(out, value, 0); break;
        default: {
            const int64_t byte = number_from(out, value);
            if (byte < 0 || byte > 255) out->odd = 1;
            else put_byte(out, (int)byte);
        }
    }
}

static void put_struct(Out *out, PyObject *fields, int depth) {
    PyObject *numbers = PyDict_Check(fields) && depth < 4 * MOST_DEPTH ? PyDict_Keys(fields) : NULL;
    if (!numbers || PyList_Sort(numbers) < 0) {
        if (PyErr_Occurred()) out->failed = 1;
        else out->odd = 1;
    }
    int64_t last = 0;
    for (Py_ssize_t k = 0; !out->failed && !out->odd && k < PyList_GET_SIZE(numbers); k++) {
        PyObject *number = PyList_GET_ITEM(numbers, k), *pair = PyDict_GetItemWithError(fields, number), *value;
        const int64_t field = number_from(out, number);
        int kind;
        if (!pair || !pair_of(out, pair, &kind, &value)) {
            if (!pair) out->odd = !PyErr_Occurred(), out->failed = !out->odd;
            break;
        }
        if (kind < 0 || kind > 15 || out->odd || field < INT32_MIN || field > INT32_MAX) {
            out->odd = 1;
            break;
        }
        Py_INCREF(value);
        if (field > last && field - last <= 15) put_byte(out, (int)(field - last) << 4 | kind);
        else put_byte(out, kind), put_number(out, number);
        if (kind != T_TRUE && kind != T_FALSE) put_value(out, kind, value, depth);
        Py_DECREF(value);
        last = field;
    }
    put_byte(out, 0);
    Py_XDECREF(numbers);
}

static PyObject *thrift_packed(PyObject *module, PyObject *fields) {
    (void)module;
    Out out = {0};
    put_struct(&out, fields, 0);
    PyObject *answer = out.failed ? NULL
                       : out.odd  ? Py_NewRef(Py_None)
                                  : PyBytes_FromStringAndSize((const char *)out.bytes, (Py_ssize_t)out.used);
    PyMem_Free(out.bytes);
    return answer;
}

PyMethodDef thrift_methods[] = {
    {"thrift_read", thrift_read, METH_VARARGS, "thrift_read(data, place, typed) -> (struct, place after it)."},
    {"thrift_packed", thrift_packed, METH_O, "thrift_packed(typed struct) -> bytes, or None where a number is beyond 64 bits."},
    {NULL, NULL, 0, NULL},
};
#endif
