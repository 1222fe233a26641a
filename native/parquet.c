/* Pages of a Parquet file without some of their rows: its two encodings that no array library knows.
 *
 * In it: the hybrid of run lengths and packed bits (levels, dictionary indices, booleans), byte arrays with a length
 * before each (apache/parquet-format, Encodings.md), and snappy. Not in it: headers, values of one width (numpy's).
 * src/vetset/kernels/encoding.py and snappy.py define what is right, byte for byte. The hot functions know nothing of Python, so that
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
    const uint8_t *low, *high; /* of those that were asked for; NULL while there is none */
    uint32_t low_size, high_size;
    size_t end;    /* of the last value */
    size_t ranges; /* stretches of values that are not kept */
} Walked;

static int less(const uint8_t *one, uint32_t one_size, const uint8_t *other, uint32_t other_size) {
    int order = memcmp(one, other, one_size < other_size ? one_size : other_size);
    return order < 0 || (order == 0 && one_size < other_size);
}

/* Walks `count` values; into `ranges`, which has room for count + 1 pairs, go start and stop of each stretch that is
 * not kept. The extremes are of those kept, or of those that go. 1 if all values are there. */
static int byte_arrays(const uint8_t *data, size_t size, const uint8_t *kept, size_t count, int of_gone,
                       int64_t *ranges, Walked *found) {
    size_t at = 0;
    int gone = 0;
    *found = (Walked){0};
    for (size_t i = 0; i < count; i++) {
        if (size - at < LENGTH_BYTES) return 0;
        uint32_t length = (uint32_t)window(data, at + LENGTH_BYTES, at);
        if (length > size - at - LENGTH_BYTES) return 0;
        const uint8_t *value = data + at + LENGTH_BYTES;
        size_t stop = at + LENGTH_BYTES + length;
        if (!kept[i]) {
            if (!gone) ranges[2 * found->ranges++] = (int64_t)at;
            ranges[2 * found->ranges - 1] = (int64_t)stop;
        }
        if ((kept[i] == 0) == of_gone) {
            if (!found->low || less(value, length, found->low, found->low_size))
                found->low = value, found->low_size = length;
            if (!found->high || less(found->high, found->high_size, value, length))
                found->high = value, found->high_size = length;
        }
        gone = !kept[i];
        at = stop;
    }
    found->end = at;
    return 1;
}

/* --- snappy ---------------------------------------------------------------------------------------------------- */
/* google/snappy, format_description.txt. A page is unfolded here and cut within its compressed form, which costs a
 * fraction of compressing it again: what is not near a cut is copied as it is. */

enum { LITERAL = 0, COPY_1 = 1, COPY_2 = 2, LONGEST_COPY = 64, STEP = 16, SHORT_LITERAL = 60 };

typedef struct {
    size_t length, offset; /* offset 0: a literal */
    size_t body, next;     /* where a literal's bytes start; where the next element does */
} Element;

/* The element at `at`, which is inside; 1 if it ends inside too. */
static int any_element_at(const uint8_t *data, size_t size, size_t at, Element *found) {
    uint8_t tag = data[at];
    size_t left = size - at - 1, kind = tag & 3;
    if (kind == LITERAL) {
        size_t length = tag >> 2, more = 0;
        if (length >= SHORT_LITERAL) {
            more = length - SHORT_LITERAL + 1;
            if (more > left) return 0;
            length = (size_t)window(data, at + 1 + more, at + 1);
        }
        *found = (Element){length + 1, 0, at + 1 + more, at + 2 + more + length};
        return length < left - more;
    }
    size_t more = kind == COPY_1 ? 1 : kind == COPY_2 ? 2 : 4;
    if (more > left) return 0;
    size_t offset = (size_t)window(data, at + 1 + more, at + 1);
    *found = (Element){(tag >> 2) + 1u, offset, 0, at + 1 + more};
    if (kind == COPY_1) {
        found->length = 4 + (tag >> 2 & 7);
        found->offset = offset | (size_t)(tag >> 5) << 8;
    }
    return found->offset != 0;
}

/* What a tag says, without a branch: for a long literal `skip` is 0. */
typedef struct {
    uint8_t length, skip; /* bytes of contents, and of the element in its compressed form */
    uint16_t high;        /* bits of the offset that stand in the tag */
    uint32_t mask;        /* of the four bytes behind it, those of the offset */
} Tag;

#define LITERAL_TAG(tag) {(tag) >= SHORT_LITERAL * 4 ? 0 : ((tag) >> 2) + 1, (tag) >= SHORT_LITERAL * 4 ? 0 : ((tag) >> 2) + 2, 0, 0}
#define COPY_1_TAG(tag) {4 + ((tag) >> 2 & 7), 2, ((tag) >> 5) << 8, 0xff}
#define COPY_2_TAG(tag) {((tag) >> 2) + 1, 3, 0, 0xffff}
#define COPY_4_TAG(tag) {((tag) >> 2) + 1, 5, 0, 0xffffffff}
#define TAGS_4(tag) LITERAL_TAG(tag), COPY_1_TAG((tag) + 1), COPY_2_TAG((tag) + 2), COPY_4_TAG((tag) + 3)
#define TAGS_16(tag) TAGS_4(tag), TAGS_4((tag) + 4), TAGS_4((tag) + 8), TAGS_4((tag) + 12)
#define TAGS_64(tag) TAGS_16(tag), TAGS_16((tag) + 16), TAGS_16((tag) + 32), TAGS_16((tag) + 48)
static const Tag TAGS[256] = {TAGS_64(0), TAGS_64(64), TAGS_64(128), TAGS_64(192)};

static inline int element_at(const uint8_t *data, size_t size, size_t at, Element *found) {
    const Tag *tag = &TAGS[data[at]];
    if (size - at <= LONGEST_COPY || !tag->skip) return any_element_at(data, size, at, found);
    uint32_t behind;
    memcpy(&behind, data + at + 1, 4);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    behind = __builtin_bswap32(behind);
#endif
    *found = (Element){tag->length, (behind & tag->mask) | tag->high, at + 1, at + tag->skip};
    return found->offset || !tag->mask;
}

/* Snappy folds each BLOCK of the contents by itself. A mark says where in the compressed form a block starts, times two,
 * plus one if no element of it refers to what is before it; -1 where no element starts there. One more is for the end. */
#ifndef VETSET_FUZZ
enum { BLOCK = 65536 };
#else
enum { BLOCK = 96 }; /* so that small cases have several */
#endif
#define MARKS(contents) ((contents) / BLOCK + 2)

typedef struct {
    int64_t *marks; /* MARKS of them, or NULL */
    size_t count, edge, lowest;
} Marking;

/* Notes the blocks that start at or before `done`; `at` is where the next element stands. */
static void mark(Marking *to, size_t at, size_t done) {
    for (; done >= to->edge; to->edge += BLOCK, to->count++) {
        const size_t start = to->count ? (to->count - 1) * BLOCK : 0;
        if (to->count && to->marks[to->count - 1] >= 0 && to->lowest < start) to->marks[to->count - 1] &= ~(int64_t)1;
        to->marks[to->count] = done == to->edge ? (int64_t)at * 2 + 1 : -1;
        to->lowest = SIZE_MAX;
    }
}

/* Unfolds into exactly `wanted` bytes; 1 if they are that many. */
static int snappy_decode(const uint8_t *data, size_t size, uint8_t *out, size_t wanted, int64_t *marks) {
    size_t at = 0, done = 0;
    uint32_t told;
    Marking marking = {marks, 0, marks ? 0 : SIZE_MAX, SIZE_MAX};
    if (!varint(data, size, &at, &told) || told != wanted) return 0;
    while (at < size) {
        Element element;
        if (done >= marking.edge) mark(&marking, at, done);
        if (!element_at(data, size, at, &element) || element.length > wanted - done) return 0;
        if (!element.offset) {
            if (element.length <= STEP && size - element.body >= STEP && wanted - done >= STEP)
                memcpy(out + done, data + element.body, STEP);
            else
                memcpy(out + done, data + element.body, element.length);
        } else {
            if (element.offset > done) return 0;
            if (done - element.offset < marking.lowest) marking.lowest = done - element.offset;
            uint8_t *to = out + done;
            const uint8_t *from = to - element.offset;
            if (element.offset >= STEP && wanted - done >= LONGEST_COPY + STEP)
                for (size_t i = 0; i < element.length; i += STEP) memcpy(to + i, from + i, STEP);
            else
                for (size_t i = 0; i < element.length; i++) to[i] = from[i];
        }
        done += element.length;
        at = element.next;
    }
    if (done != wanted) return 0;
    if (marks) {
        if (done >= marking.edge) mark(&marking, at, done);
        else marking.edge = done, mark(&marking, at, done); /* the end of a block that is not whole */
        while (marking.count < MARKS(wanted)) marks[marking.count++] = -1;
    }
    return 1;
}

typedef struct {
    uint8_t *out;
    size_t at, room;
} Output;

static inline int put(Output *to, const uint8_t *data, size_t size) {
    if (size > to->room - to->at) return 0;
    memcpy(to->out + to->at, data, size);
    to->at += size;
    return 1;
}

static int put_literal_head(Output *to, size_t length) {
    uint8_t head[LONGEST_VARINT];
    size_t bytes = 0, less_one = length - 1;
    if (less_one < SHORT_LITERAL)
        head[0] = (uint8_t)(less_one << 2);
    else {
        for (size_t rest = less_one; rest; rest >>= 8) head[++bytes] = (uint8_t)rest;
        head[0] = (uint8_t)((SHORT_LITERAL - 1 + bytes) << 2);
    }
    return put(to, head, bytes + 1);
}

/* A copy of 1 to 64 bytes from an offset that fits into the same or a shorter form than it had. */
static int put_copy(Output *to, size_t length, size_t offset) {
    uint8_t element[LONGEST_VARINT];
    if (length >= 4 && length < 12 && offset < 2048) {
        element[0] = (uint8_t)(COPY_1 | (length - 4) << 2 | offset >> 8 << 5);
        element[1] = (uint8_t)offset;
        return put(to, element, 2);
    }
    size_t more = offset < 65536 ? 2 : 4;
    element[0] = (uint8_t)((more == 2 ? COPY_2 : 3) | (length - 1) << 2);
    for (size_t i = 0; i < more; i++) element[1 + i] = (uint8_t)(offset >> 8 * i);
    return put(to, element, more + 1);
}

typedef struct {
    const int64_t *ranges; /* start and stop of each, ascending, apart */
    size_t count;
    const int64_t *before; /* bytes that go in the ranges before each; count + 1 of them */
} Gone;

/* The first range from `low` on, of those below `high`, that ends after `at`. */
static size_t range_after(const Gone *gone, size_t low, size_t high, size_t at) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((size_t)gone->ranges[2 * middle + 1] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What stays in [from, stop) of an element, which no range before `next` reaches. */
static int put_stays(Output *to, const Element *element, const uint8_t *whole, size_t from, size_t stop,
                     const Gone *gone, size_t next) {
    size_t source = from - element->offset, length = stop - from;
    size_t behind = range_after(gone, 0, next, source);
    if (behind < next && (size_t)gone->ranges[2 * behind] < source + length)
        return put_literal_head(to, length) && put(to, whole + from, length);
    return put_copy(to, length, element->offset - (size_t)(gone->before[next] - gone->before[behind]));
}

/* A literal that some range reaches: one literal of what stays. */
static int put_literal(Output *to, const uint8_t *whole, size_t from, size_t stop, const Gone *gone, size_t next) {
    size_t stays = stop - from, at = from;
    for (size_t i = next; i < gone->count && (size_t)gone->ranges[2 * i] < stop; i++) {
        size_t start = (size_t)gone->ranges[2 * i], end = (size_t)gone->ranges[2 * i + 1];
        stays -= (end < stop ? end : stop) - (start > from ? start : from);
    }
    if (stays && !put_literal_head(to, stays)) return 0;
    for (size_t i = next; at < stop; i++) {
        size_t start = i < gone->count ? (size_t)gone->ranges[2 * i] : stop;
        if (start > stop) start = stop;
        if (start > at && !put(to, whole + at, start - at)) return 0;
        at = i < gone->count && start < stop ? (size_t)gone->ranges[2 * i + 1] : stop;
    }
    return 1;
}

/* A copy that some range reaches: its pieces that stay. */
static int put_pieces(Output *to, const Element *element, const uint8_t *whole, size_t from, size_t stop,
                      const Gone *gone, size_t next) {
    for (size_t at = from; at < stop; next++) {
        size_t start = next < gone->count ? (size_t)gone->ranges[2 * next] : stop;
        if (start > stop) start = stop;
        if (start > at && !put_stays(to, element, whole, at, start, gone, next)) return 0;
        at = next < gone->count && start < stop ? (size_t)gone->ranges[2 * next + 1] : stop;
    }
    return 1;
}

/* Steps over blocks that end before the next range and refer to nothing before themselves: they stay as they are. */
static void step_over(const int64_t *marks, size_t size, size_t whole_size, size_t reach, size_t *at, size_t *done) {
    for (size_t block = *done / BLOCK; *done < whole_size; block++) {
        const size_t stop = whole_size - *done > BLOCK ? *done + BLOCK : whole_size;
        const int64_t here = marks[block], after = marks[block + 1];
        if (stop > reach || here != (int64_t)*at * 2 + 1 || after < here || (size_t)(after / 2) > size) return;
        *at = (size_t)(after / 2), *done = stop;
    }
}

/* The compressed form of `first` and then of `whole`, whose compressed form is `data`, without the ranges.
 * 1 if it fits into the room; `data` was unfolded to `whole` before, so that it is sound, and gave the marks, if any. */
static int snappy_without(const uint8_t *data, size_t size, const uint8_t *whole, size_t whole_size,
                          const uint8_t *first, size_t first_size, const Gone *gone, const int64_t *marks, Output *to) {
    size_t at = 0, done = 0, next = 0, as_is, stays;
    size_t reach = gone->count ? (size_t)gone->ranges[0] : whole_size; /* where the next range starts */
    size_t behind = 0;                                                 /* where the last one ended */
    uint32_t told;
    if (!varint(data, size, &at, &told) || told != whole_size) return 0;
    stays = whole_size - (size_t)gone->before[gone->count];
    if (to->room < 2 * LONGEST_VARINT) return 0;
    to->at = put_varint(to->out, first_size + stays);
    if (first_size && !(put_literal_head(to, first_size) && put(to, first, first_size))) return 0;
    as_is = at;
    while (at < size) {
        Element element;
        if (marks && done % BLOCK == 0) {
            step_over(marks, size, whole_size, reach, &at, &done);
            if (at >= size) break;
        }
        if (!element_at(data, size, at, &element) || element.length > whole_size - done) return 0;
        if (element.offset > done) return 0;
        size_t stop = done + element.length;
        if (stop > reach || done - element.offset < behind) { /* a range is in it, or in what it refers to or crosses */
            if (!put(to, data + as_is, at - as_is)) return 0;
            as_is = element.next;
            if (!element.offset) {
                if (!put_literal(to, whole, done, stop, gone, next)) return 0;
            } else if (!put_pieces(to, &element, whole, done, stop, gone, next)) {
                return 0;
            }
            while (next < gone->count && (size_t)gone->ranges[2 * next + 1] <= stop) next++;
            behind = next ? (size_t)gone->ranges[2 * next - 1] : 0;
            reach = next < gone->count ? (size_t)gone->ranges[2 * next] : whole_size;
        }
        done = stop;
        at = element.next;
    }
    return put(to, data + as_is, size - as_is) && done == whole_size;
}

/* Whether ranges are ascending, apart and inside; fills `before`, which has room for count + 1. */
static int are_ranges(const int64_t *ranges, size_t count, size_t size, int64_t *before) {
    int64_t last = -1;
    before[0] = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t start = ranges[2 * i], stop = ranges[2 * i + 1];
        if (start <= last || stop <= start || (uint64_t)stop > size) return 0;
        before[i + 1] = before[i] + stop - start;
        last = stop;
    }
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
    if (values.len % 4 || (uintptr_t)values.buf % sizeof(uint32_t))
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

static PyObject *byte_arrays_cut(PyObject *self, PyObject *arguments) {
    Py_buffer data, kept;
    Walked found = {0};
    int of_gone, right = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*y*p:byte_arrays_cut", &data, &kept, &of_gone)) return NULL;
    PyObject *answer = NULL, *ranges = NULL;
    if (kept.len <= PY_SSIZE_T_MAX / 32) ranges = PyBytes_FromStringAndSize(NULL, (kept.len + 1) * 16);
    if (ranges) {
        int64_t *out = (int64_t *)(void *)PyBytes_AS_STRING(ranges);
        Py_BEGIN_ALLOW_THREADS
        right = byte_arrays(data.buf, (size_t)data.len, kept.buf, (size_t)kept.len, of_gone, out, &found);
        Py_END_ALLOW_THREADS
        if (right && !_PyBytes_Resize(&ranges, (Py_ssize_t)found.ranges * 16))
            answer = Py_BuildValue("NnNN", ranges, (Py_ssize_t)found.end, one_value(found.low, found.low_size),
                                   one_value(found.high, found.high_size));
        else
            Py_XDECREF(ranges);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&kept);
    return answer || PyErr_Occurred() ? answer : not_encoded();
}

static int are_marks(const Py_buffer *marks, Py_ssize_t contents) {
    return (size_t)marks->len == MARKS((size_t)contents) * sizeof(int64_t) && (uintptr_t)marks->buf % sizeof(int64_t) == 0;
}

static PyObject *snappy_unfolded(PyObject *self, PyObject *arguments) {
    Py_buffer data, out, marks;
    int right = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*w*w*:snappy_unfolded", &data, &out, &marks)) return NULL;
    if (are_marks(&marks, out.len) || !marks.len) {
        Py_BEGIN_ALLOW_THREADS
        right = snappy_decode(data.buf, (size_t)data.len, out.buf, (size_t)out.len, marks.len ? marks.buf : NULL);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&out);
    PyBuffer_Release(&marks);
    if (!right) return not_encoded();
    Py_RETURN_NONE;
}

static PyObject *snappy_cut(PyObject *self, PyObject *arguments) {
    Py_buffer data, whole, marks, first, ranges, out;
    int right = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*w*:snappy_cut", &data, &whole, &marks, &first, &ranges, &out)) return NULL;
    size_t count = (size_t)ranges.len / 16;
    int64_t *before = PyMem_Malloc((count + 1) * sizeof *before);
    Output to = {out.buf, 0, (size_t)out.len};
    if (!before)
        PyErr_NoMemory();
    else if (ranges.len % 16 == 0 && (uintptr_t)ranges.buf % sizeof(int64_t) == 0) {
        Py_BEGIN_ALLOW_THREADS
        Gone gone = {ranges.buf, count, before};
        right = are_ranges(ranges.buf, count, (size_t)whole.len, before) &&
                snappy_without(data.buf, (size_t)data.len, whole.buf, (size_t)whole.len, first.buf,
                               (size_t)first.len, &gone, are_marks(&marks, whole.len) ? marks.buf : NULL, &to);
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(before);
    PyBuffer_Release(&data);
    PyBuffer_Release(&whole);
    PyBuffer_Release(&marks);
    PyBuffer_Release(&first);
    PyBuffer_Release(&ranges);
    PyBuffer_Release(&out);
    if (right) return PyLong_FromSize_t(to.at);
    return PyErr_Occurred() ? NULL : not_encoded();
}

PyMethodDef parquet_methods[] = {
    {"hybrid_values", hybrid_values, METH_VARARGS, "kernels.encoding.hybrid_values, as bytes of 32-bit numbers"},
    {"hybrid_encoded", hybrid_encoded, METH_VARARGS, "kernels.encoding.hybrid_encoded of bytes of 32-bit numbers"},
    {"byte_arrays_cut", byte_arrays_cut, METH_VARARGS, "kernels.encoding.byte_arrays_cut, as a plain tuple"},
    {"snappy_unfolded", snappy_unfolded, METH_VARARGS, "kernels.snappy.unfolded, into a buffer of that size"},
    {"snappy_cut", snappy_cut, METH_VARARGS, "kernels.snappy.cut, into a buffer; answers the bytes written"},
    {NULL, NULL, 0, NULL},
};
#endif
