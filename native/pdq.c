/* PDQ of RGB and luma pixels, bit for bit as the reference computes it (kernels/pdq.py is the definition).
 *
 * In it: what depends on a picture's size, the choice of instructions, and the way in from Python. pdq_lanes.h has the
 * filter down to 64x64, pdq_bits.h the cosines and bits. Every operation is the reference's own, in its own order, so
 * that there is no margin within which the bits could differ; -ffp-contract=off (setup.py) keeps it so where the
 * processor could fuse a product and a sum.
 */
#include "native.h"
#include <math.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { SIDE = 64, LOW = 16, BITS = LOW * LOW, ORIENTATIONS = 8, BYTES = BITS / 8, LEAST = 5, MOST = 1 << 24 };
enum { MOST_LANES = 16, GROUPS = 2, MOST_STRIP = GROUPS * MOST_LANES };

static size_t window_of(size_t length) { return (length + 2 * SIDE - 1) / (2 * SIDE); }
static size_t centre_of(size_t place, size_t length) { return (size_t)(((double)place + 0.5) * (double)length / SIDE); }

/* What the passes share. Rows of floats are `padded`: rounded up to MOST_LANES. */
typedef struct {
    size_t height, width, stride, padded, window, ahead, ring_rows; /* of the pass down: `ahead` rows come in first */
    int colours;
    size_t mask; /* columns are a ring of mask + 1 */
    size_t centres[SIDE];
    float *counts;          /* how many values each mean along a row is of */
    float *blurred;         /* a strip of rows before the second pass along */
    float *columns;         /* the last columns of a strip, standing, as the pass along still needs them */
    float *ring, *narrow;   /* the last rows, and the last rows of 64 columns, as the passes down still need them */
    float *running, *last;  /* running sums of the passes down */
} Work;

/* Rows that a pass along begins with: pixels, or floats. */
typedef struct {
    const uint8_t *pixels;
    const float *floats;
    size_t stride;
} Strip;

/* How many rows are in the box once row `y` has come in and another has gone. */
static float count_at(const Work *work, size_t y) {
    const size_t come = y < work->height ? y + 1 : work->height;
    return (float)(come - (y >= work->window ? y - work->window + 1 : 0));
}

static void count_along(const Work *work) {
    const size_t window = window_of(work->width), half = (window + 2) / 2, back = window - half;
    for (size_t x = 0; x < work->padded; x++) {
        const size_t low = x > back ? x - back : 0, high = x + half < work->width ? x + half : work->width;
        work->counts[x] = x < work->width ? (float)(high - low) : 1;
    }
}

/* One block of zeros for all planes; NULL without memory. The caller frees it. */
static void *set_up(Work *work, size_t height, size_t width, int colours) {
    const size_t padded = (width + MOST_LANES - 1) / MOST_LANES * MOST_LANES, window = window_of(height);
    *work = (Work){.height = height, .width = width, .stride = width * (size_t)colours, .padded = padded,
                   .window = window, .ahead = (window + 2) / 2 - 1, .ring_rows = window + MOST_STRIP, .colours = colours};
    size_t ring = MOST_LANES;
    while (ring < window_of(width) + MOST_LANES) ring *= 2;
    work->mask = ring - 1;
    const size_t planes = padded * (2 + MOST_STRIP + work->ring_rows), narrow = (work->ring_rows + 1) * SIDE;
    float *block = calloc(planes + narrow + ring * MOST_STRIP, sizeof *block);
    if (!block) return NULL;
    work->counts = block;
    work->running = work->counts + padded;
    work->blurred = work->running + padded;
    work->ring = work->blurred + MOST_STRIP * padded;
    work->narrow = work->ring + work->ring_rows * padded;
    work->last = work->narrow + work->ring_rows * SIDE;
    work->columns = work->last + SIDE;
    for (size_t j = 0; j < SIDE; j++) work->centres[j] = centre_of(j, width);
    count_along(work);
    return block;
}

#define ALWAYS static inline __attribute__((always_inline))

#include "pdq_plain.h"
#include "pdq_lanes.h"
#include "pdq_unset.h"
#if defined(__x86_64__)
#include "pdq_avx2.h"
#include "pdq_lanes.h"
#include "pdq_unset.h"
#include "pdq_avx512.h"
#include "pdq_lanes.h"
#include "pdq_unset.h"
#endif

#include "pdq_bits.h"

#define VARIANT(name, target)                                                                                          \
    target static int pdq_##name(const Work *work, const uint8_t *pixels, uint8_t *prints) {                          \
        float small[SIDE][SIDE], coefficients[BITS];                                                                   \
        small_of_##name(work, pixels, small);                                                                          \
        cosines(small, coefficients);                                                                                  \
        all_bits(coefficients, prints);                                                                                \
        return quality_of(small);                                                                                      \
    }

VARIANT(plain, )
#if defined(__x86_64__)
VARIANT(avx2, __attribute__((target("avx2"))))
VARIANT(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))))
#endif

typedef int (*Pdq)(const Work *, const uint8_t *, uint8_t *);

/* The widest instructions that the processor has, but none wider than `lanes` (0: no limit). */
static Pdq choose(int lanes) {
#if defined(__x86_64__)
    const int wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl");
    if (wide && (!lanes || lanes >= 16)) return pdq_avx512;
    if (__builtin_cpu_supports("avx2") && (!lanes || lanes >= 8)) return pdq_avx2;
#endif
    (void)lanes;
    return pdq_plain;
}

/* The quality, or -1 without memory. */
int vetset_pdq(const uint8_t *pixels, size_t height, size_t width, int colours, int lanes, uint8_t *prints) {
    Work work;
    void *block = set_up(&work, height, width, colours);
    if (!block) return -1;
    const int quality = choose(lanes)(&work, pixels, prints);
    free(block);
    return quality;
}

#ifndef VETSET_FUZZ
static PyObject *pdq(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer pixels, prints;
    Py_ssize_t height, width;
    int colours, lanes = 0, quality = -1;
    if (!PyArg_ParseTuple(args, "y*nniw*|i", &pixels, &height, &width, &colours, &prints, &lanes)) return NULL;
    const int shaped = height >= LEAST && width >= LEAST && (colours == 1 || colours == 3) && height <= MOST &&
                       width <= MOST && pixels.len == height * width * colours && prints.len == ORIENTATIONS * BYTES;
    if (shaped) {
        Py_BEGIN_ALLOW_THREADS
        quality = vetset_pdq(pixels.buf, (size_t)height, (size_t)width, colours, lanes, prints.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&pixels);
    PyBuffer_Release(&prints);
    if (!shaped) return PyErr_Format(PyExc_ValueError, "the pixels and their shape disagree");
    return quality < 0 ? PyErr_NoMemory() : PyLong_FromLong(quality);
}

PyMethodDef pdq_methods[] = {
    {"pdq", pdq, METH_VARARGS, "pdq(pixels, height, width, colours, prints[, lanes]) -> quality"},
    {NULL, NULL, 0, NULL},
};
#endif
