/* The members of a tar in memory, walked and checked as datasets/members.py defines it: ustar, GNU and pax headers.
 *
 * Answers one record a member: kind, start, data, size, stop, and where its name lies in a buffer of names. Nothing is
 * followed, opened or made; where a header cannot be read, the last record is the damaged rest.
 */
#include "native.h"
#include "tar.h"
#include <stdlib.h>

enum { BLOCK = 512, MOST_EXTENSION = 1024 * 1024, MOST_DIGITS = 19 };

/* A stretch of bytes that is kept: of the archive, or copied where it has to outlive a later header. */
typedef struct { uint8_t *bytes; size_t size; int here; } Text;

typedef struct {
    const uint8_t *view;
    size_t bytes;
    Record *records;
    size_t used, room;
    uint8_t *names;
    size_t names_used, names_room;
    Text common_path;
    int has_common_size;
    int64_t common_size;
} Walk;

typedef struct { Text name; int has_size, sparse, any; int64_t size; } Extensions;

enum { FINE = 1, BROKEN = 0, NO_MEMORY = -1 };

static int grow(void **block, size_t *room, size_t wanted, size_t unit) {
    if (wanted <= *room) return 1;
    size_t more = *room ? *room : 64;
    while (more < wanted) more *= 2;
    void *fresh = realloc(*block, more * unit);
    if (!fresh) return 0;
    *block = fresh, *room = more;
    return 1;
}

/* Whether the first bytes are those of JPEG, PNG, GIF or WebP. */
static int begins_as_picture(const uint8_t *p, int64_t size) {
    return (size >= 3 && !memcmp(p, "\xff\xd8\xff", 3)) || (size >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8)) ||
           (size >= 6 && (!memcmp(p, "GIF87a", 6) || !memcmp(p, "GIF89a", 6))) ||
           (size >= 12 && !memcmp(p, "RIFF", 4) && !memcmp(p + 8, "WEBP", 4));
}

static int note(Walk *walk, int64_t kind, size_t start, size_t data, int64_t size, size_t stop, const uint8_t *name,
                size_t name_bytes) {
    if (!grow((void **)&walk->records, &walk->room, walk->used + 1, sizeof *walk->records)) return 0;
    if (!grow((void **)&walk->names, &walk->names_room, walk->names_used + name_bytes + 1, 1)) return 0;
    if (name_bytes) memcpy(walk->names + walk->names_used, name, name_bytes);
    const int holds = kind == FILE_KIND || kind == SPARSE || kind == UNKNOWN || kind == TRUNCATED;
    walk->records[walk->used++] = (Record){kind, (int64_t)start, (int64_t)data, size, (int64_t)stop,
                                           (int64_t)walk->names_used, (int64_t)(walk->names_used + name_bytes),
                                           holds && begins_as_picture(walk->view + (size ? data : 0), size)};
    walk->names_used += name_bytes;
    return 1;
}

static int keep(Text *text, const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    if (size) memcpy(copy, bytes, size);
    free(text->bytes);
    *text = (Text){copy, size, 1};
    return 1;
}

static size_t until_zero(const uint8_t *p, size_t most) {
    const uint8_t *zero = memchr(p, 0, most);
    return zero ? (size_t)(zero - p) : most;
}

/* Octal between spaces and zeros, or base 256 behind a bit. */
static int number_of(const uint8_t *p, size_t size, int64_t *out) {
    uint64_t value = 0;
    if (p[0] & 0x80) {
        if (p[0] & 0x40) return BROKEN;
        value = p[0] & 0x3f;
        for (size_t k = 1; k < size; k++) {
            if (value >> 55) return BROKEN;
            value = value << 8 | p[k];
        }
        *out = (int64_t)value;
        return value >> 63 ? BROKEN : FINE;
    }
    size_t end = until_zero(p, size), at = 0;
    while (at < end && p[at] == ' ') at++;
    while (end > at && p[end - 1] == ' ') end--;
    for (; at < end; at++) {
        if (p[at] < '0' || p[at] > '7') return BROKEN;
        value = value << 3 | (uint64_t)(p[at] - '0');
    }
    *out = (int64_t)value;
    return FINE;
}

/* Of a header, the sum of the bytes, and how many of them are high, which a signed sum counts less by 256 each: eight
 * bytes at a time, in sums that have room, 64 x 2 x 255 in sixteen bits and 64 in eight.
 */
static void sums_of(const uint8_t *p, unsigned *all, unsigned *high) {
    const uint64_t pairs = 0x00ff00ff00ff00ffu;
    uint64_t sum = 0, tops = 0, word;
    for (int k = 0; k < BLOCK; k += 8) {
        memcpy(&word, p + k, 8);
        sum += (word & pairs) + (word >> 8 & pairs);
        tops += word >> 7 & 0x0101010101010101u;
    }
    *all = *high = 0;
    for (int k = 0; k < 64; k += 8) *high += tops >> k & 0xff;
    for (int k = 0; k < 64; k += 16) *all += sum >> k & 0xffff;
}

static int sum_holds(const uint8_t *p) {
    int64_t wanted, plain = 8 * ' ', minus;
    unsigned all, high;
    sums_of(p, &all, &high);
    for (int k = 148; k < 156; k++) all -= p[k], high -= p[k] >> 7;
    plain += all, minus = plain - 256 * (int64_t)high;
    return number_of(p + 148, 8, &wanted) && (wanted == plain || wanted == minus);
}

static int decimal(const uint8_t *p, size_t size, int64_t *out) {
    uint64_t value = 0;
    if (!size || size > MOST_DIGITS) return BROKEN;
    for (size_t k = 0; k < size; k++) {
        if (p[k] < '0' || p[k] > '9') return BROKEN;
        value = value * 10 + (uint64_t)(p[k] - '0');
    }
    if (value > INT64_MAX) value = INT64_MAX; /* beyond any file, and so truncated */
    *out = (int64_t)value;
    return FINE;
}

static int is_key(const uint8_t *key, size_t size, const char *name) { return size == strlen(name) && !memcmp(key, name, size); }

typedef struct { const uint8_t *path, *size, *sparse_name; size_t path_bytes, size_bytes, sparse_bytes; int has_path, has_size, has_sparse_name, sparse; } Said;

/* `length key=value` lines; the last of equal keys counts. */
static int records_of(const uint8_t *body, size_t size, Said *said) {
    size_t at = 0;
    while (at < size && body[at]) {
        size_t space = at;
        uint64_t length = 0;
        while (space < size && space < at + 20 && body[space] != ' ') {
            if (body[space] < '0' || body[space] > '9') return BROKEN;
            length = length * 10 + (uint64_t)(body[space++] - '0');
            if (length > size) length = size + 1;
        }
        if (space == at || space >= size || space >= at + 20 || body[space] != ' ') return BROKEN;
        const size_t stop = at + (size_t)length;
        if (stop > size || stop <= space + 1 || body[stop - 1] != '\n') return BROKEN;
        const uint8_t *key = body + space + 1, *equals = memchr(key, '=', (size_t)(body + stop - 1 - key));
        if (!equals) return BROKEN;
        const size_t key_bytes = (size_t)(equals - key), value_bytes = (size_t)(body + stop - 1 - (equals + 1));
        if (is_key(key, key_bytes, "path")) said->path = equals + 1, said->path_bytes = value_bytes, said->has_path = 1;
        else if (is_key(key, key_bytes, "size")) said->size = equals + 1, said->size_bytes = value_bytes, said->has_size = 1;
        else if (key_bytes >= 11 && !memcmp(key, "GNU.sparse.", 11)) {
            said->sparse = 1;
            if (is_key(key, key_bytes, "GNU.sparse.name")) said->sparse_name = equals + 1, said->sparse_bytes = value_bytes, said->has_sparse_name = 1;
        }
        at = stop;
    }
    return FINE;
}

static int extension(Walk *walk, int kind, size_t data, int64_t size, Extensions *extensions) {
    if (size > MOST_EXTENSION || (uint64_t)size > walk->bytes - (data < walk->bytes ? data : walk->bytes) || data > walk->bytes) return BROKEN;
    const uint8_t *body = walk->view + data;
    Said said = {0};
    if (kind == 'L') {
        extensions->any = 1;
        return keep(&extensions->name, body, until_zero(body, (size_t)size)) ? FINE : NO_MEMORY;
    }
    if (kind == 'K') { return FINE; }
    if (kind == 'g' && extensions->any) return BROKEN;
    if (!records_of(body, (size_t)size, &said)) return BROKEN;
    int64_t own;
    if (said.has_size && kind != 'g') {
        if (!decimal(said.size, said.size_bytes, &own)) return BROKEN;
        extensions->has_size = extensions->any = 1, extensions->size = own;
    }
    if (kind == 'g') {
        if (said.has_size) walk->has_common_size = decimal(said.size, said.size_bytes, &walk->common_size) ? 1 : 2;
        if (said.has_path && !keep(&walk->common_path, said.path, said.path_bytes)) return NO_MEMORY;
        return FINE;
    }
    if (said.has_sparse_name && said.sparse_bytes) {
        extensions->any = 1;
        if (!keep(&extensions->name, said.sparse_name, said.sparse_bytes)) return NO_MEMORY;
    } else if (said.has_path && said.path_bytes) {
        extensions->any = 1;
        if (!keep(&extensions->name, said.path, said.path_bytes)) return NO_MEMORY;
    }
    if (said.sparse) extensions->sparse = extensions->any = 1;
    return FINE;
}

static int kind_of(int type, const uint8_t *name, size_t name_bytes, int sparse) {
    if (sparse) return SPARSE;
    switch (type) {
        case 0: return name_bytes && name[name_bytes - 1] == '/' ? DIRECTORY : FILE_KIND;
        case '0': case '7': return FILE_KIND;
        case '1': return HARD_LINK;
        case '2': return SYMBOLIC_LINK;
        case '3': case '4': return DEVICE;
        case '5': return DIRECTORY;
        case '6': return FIFO;
        default: return UNKNOWN;
    }
}

static int member(Walk *walk, const uint8_t *raw, size_t at, size_t start, const Extensions *extensions, size_t *stop) {
    uint8_t joined[256];
    const uint8_t *name;
    size_t name_bytes, data = at + BLOCK;
    int64_t size;
    const int type = raw[156];
    if (!number_of(raw + 124, 12, &size)) return BROKEN;
    if (extensions->name.size) name = extensions->name.bytes, name_bytes = extensions->name.size;
    else if (walk->common_path.size) name = walk->common_path.bytes, name_bytes = walk->common_path.size;
    else {
        const size_t prefix = until_zero(raw + 345, 155), own = until_zero(raw, 100);
        const int both = prefix && type != 'S';
        if (both) memcpy(joined, raw + 345, prefix), joined[prefix] = '/';
        memcpy(joined + (both ? prefix + 1 : 0), raw, own);
        name = joined, name_bytes = own + (both ? prefix + 1 : 0);
    }
    if (extensions->has_size) size = extensions->size;
    else if (walk->has_common_size == 2) return BROKEN;
    else if (walk->has_common_size) size = walk->common_size;
    if (type == 'S') {
        int more = raw[482];
        while (more) {
            if (data > walk->bytes || walk->bytes - data < BLOCK) return BROKEN;
            more = walk->view[data + 504], data += BLOCK;
        }
    }
    const int kind = kind_of(type, name, name_bytes, extensions->sparse || type == 'S');
    if (kind != FILE_KIND && kind != SPARSE && kind != UNKNOWN) {
        *stop = data;
        return note(walk, kind, start, data, 0, data, name, name_bytes) ? FINE : NO_MEMORY;
    }
    if ((uint64_t)size > (data < walk->bytes ? walk->bytes - data : 0)) {
        *stop = walk->bytes;
        const int64_t left = data < walk->bytes ? (int64_t)(walk->bytes - data) : 0;
        return note(walk, TRUNCATED, start, data, left, walk->bytes, name, name_bytes) ? FINE : NO_MEMORY;
    }
    *stop = data + ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
    if (*stop > walk->bytes) *stop = walk->bytes;
    return note(walk, kind, start, data, size, *stop, name, name_bytes) ? FINE : NO_MEMORY;
}

static int walked(Walk *walk, size_t most) {
    static const uint8_t blank[BLOCK];
    Extensions extensions = {0};
    size_t at = 0, start = 0;
    int done = FINE;
    while (done == FINE && at < walk->bytes) {
        const uint8_t *raw = walk->view + at;
        const size_t left = walk->bytes - at < BLOCK ? walk->bytes - at : BLOCK;
        if (!memcmp(raw, blank, left)) {
            at += BLOCK;
            if (!extensions.any) start = at;
            continue;
        }
        int64_t size;
        const int type = left == BLOCK ? raw[156] : 0;
        if (left < BLOCK || !sum_holds(raw) || !number_of(raw + 124, 12, &size)) done = BROKEN;
        else if (memchr("xgLKX", type, 5)) {
            done = extension(walk, type, at + BLOCK, size, &extensions);
            if (done == FINE) {
                const size_t all = at + BLOCK + ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
                at = all < walk->bytes ? all : walk->bytes;
                if (type == 'g') {
                    if (!note(walk, GLOBAL_HEADER, start, at, 0, at, NULL, 0)) done = NO_MEMORY;
                    start = at;
                    if (done == FINE && walk->used >= most) done = BROKEN;
                }
            }
        } else {
            size_t stop = at;
            done = member(walk, raw, at, start, &extensions, &stop);
            if (done == FINE) {
                free(extensions.name.bytes);
                extensions = (Extensions){0};
                at = start = stop;
                if (walk->used >= most) done = BROKEN;
            }
        }
    }
    free(extensions.name.bytes);
    if (done == BROKEN) {
        const size_t data = at < walk->bytes ? at : walk->bytes;
        done = note(walk, DAMAGED, start, data, (int64_t)(walk->bytes - data), walk->bytes, NULL, 0) ? FINE : NO_MEMORY;
    }
    return done;
}

/* 1, or -1 without memory. The caller frees records and names. */
int vetset_tar_walk(const uint8_t *view, size_t bytes, size_t most, Record **records, size_t *used, uint8_t **names,
                    size_t *names_used) {
    Walk walk = {.view = view, .bytes = bytes};
    const int done = walked(&walk, most);
    free(walk.common_path.bytes);
    *records = walk.records, *used = walk.used, *names = walk.names, *names_used = walk.names_used;
    return done;
}

#ifndef VETSET_FUZZ
static PyObject *tar_members(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer view;
    Py_ssize_t most;
    Record *records = NULL;
    uint8_t *names = NULL;
    size_t used = 0, names_used = 0;
    int done;
    if (!PyArg_ParseTuple(args, "y*n", &view, &most)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    done = vetset_tar_walk(view.buf, (size_t)view.len, (size_t)most, &records, &used, &names, &names_used);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    PyObject *answer = done == NO_MEMORY ? PyErr_NoMemory()
                                         : Py_BuildValue("y#y#", records ? (const char *)records : "",
                                                         (Py_ssize_t)(used * sizeof *records),
                                                         names ? (const char *)names : "", (Py_ssize_t)names_used);
    free(records), free(names);
    return answer;
}

PyMethodDef tar_methods[] = {
    {"tar_members", tar_members, METH_VARARGS, "tar_members(view, most) -> (int64 records, names)."},
    {NULL, NULL, 0, NULL},
};
#endif
