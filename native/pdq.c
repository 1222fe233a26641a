/* PDQ of RGB and luma pixels, bit for bit as the reference computes it (kernels/pdq.py is the definition).
 *
 * Two ways to the 64x64 picture that everything follows from:
 *   exact   every operation is the reference's own, in its own order (pdq_lanes.h)
 *   fused   the same filter and decimation as one product per axis, almost without rounding (pdq_fused.h)
 * They differ by the reference's rounding, which drifts. The fused way is taken first; where a bit or the quality could
 * come out otherwise within a margin, the exact way decides. In it: the margins, what depends on a picture's size, the
 * choice of instructions, and the way in from Python. -ffp-contract=off (setup.py) keeps products and sums apart.
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
    float *counts;          /* how many values each mean along a row is of, */
    float *reciprocals;     /* and one divided by it */
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
    size_t beyond; /* bytes of pixels behind the strip */
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
        work->reciprocals[x] = 1.0f / work->counts[x];
    }
}

/* The planes of the last picture, kept for the next one, because fresh memory costs more than the filter does. Whoever
 * takes it away has it alone; a thread that finds none allocates. */
typedef struct {
    size_t floats;
    float planes[] __attribute__((aligned(64)));
} Block;

#ifdef VETSET_FUZZ
enum { MOST_KEPT = 0 }; /* so that every block has exactly the size that is needed */
#else
enum { MOST_KEPT = 1 << 20 };
#endif

static Block *kept;

static Block *take(size_t floats) {
    Block *block = __atomic_exchange_n(&kept, NULL, __ATOMIC_ACQUIRE);
    if (block && block->floats >= floats) return block;
    free(block);
    block = floats > SIZE_MAX / sizeof(float) - sizeof *block ? NULL : calloc(1, sizeof *block + floats * sizeof(float));
    if (block) block->floats = floats;
    return block;
}

static void give_back(Block *block) {
    if (block->floats <= MOST_KEPT) block = __atomic_exchange_n(&kept, block, __ATOMIC_RELEASE);
    free(block);
}

/* All planes in one block; NULL without memory. What is in them from before is never looked at but for sums, which are
 * zero. The caller gives the block back. */
static Block *set_up(Work *work, size_t height, size_t width, int colours) {
    const size_t padded = (width + MOST_LANES - 1) / MOST_LANES * MOST_LANES, window = window_of(height);
    *work = (Work){.height = height, .width = width, .stride = width * (size_t)colours, .padded = padded,
                   .window = window, .ahead = (window + 2) / 2 - 1, .ring_rows = window + MOST_STRIP, .colours = colours};
    size_t ring = MOST_LANES;
    while (ring < window_of(width) + MOST_LANES) ring *= 2;
    work->mask = ring - 1;
    const size_t planes = padded * (3 + MOST_STRIP + work->ring_rows), narrow = (work->ring_rows + 1) * SIDE;
    Block *block = take(planes + narrow + ring * MOST_STRIP);
    if (!block) return NULL;
    work->counts = block->planes;
    work->reciprocals = work->counts + padded;
    work->running = work->reciprocals + padded;
    work->blurred = work->running + padded;
    work->ring = work->blurred + MOST_STRIP * padded;
    work->narrow = work->ring + work->ring_rows * padded;
    work->last = work->narrow + work->ring_rows * SIDE;
    work->columns = work->last + SIDE;
    for (size_t j = 0; j < SIDE; j++) work->centres[j] = centre_of(j, width);
    memset(work->running, 0, padded * sizeof(float));
    memset(work->last, 0, SIDE * sizeof(float));
    count_along(work);
    return block;
}

/* --- the fused way: what it needs to know of a picture's size --- */

enum { LEAST_FUSED = 64, WINDOW_FUSED = 256, MOST_HELD = 65535 / 255, GROUP = 8 };
enum { MOST_TAPS = 2 * WINDOW_FUSED - 1, MOST_ACROSS = 3 * MOST_TAPS + GROUP };

/* How far the reference's rounding takes a coefficient from the fused way: its running sums drift like a walk of as many
 * steps as there are rows or columns, and the higher the frequency the less is left of it, so that the unit is
 * sqrt(height / row^2 + width / column^2). On 500 photos and 467 other pictures it was at most 6.6e-4 for RGB and 2.3e-4
 * for luma, 1.5e-4 and 1.1e-4 in 99 of 100. Both ends of a gap have to be off, towards each other, to change a bit. Grey
 * levels: at most 2.2e-6 and 1.2e-6 for each row and column; a step has two, in hundredths of 255. Measured, not proven:
 * bench/margins.py counts what comes of it. */
static const float MARGIN_RGB = 1e-3f, MARGIN_LUMA = 4e-4f, STEP_RGB = 3e-6f, STEP_LUMA = 2e-6f;

/* Weights across hold the scale of both axes and luma's parts. */
typedef struct {
    size_t stride, window_down, groups, first_down[SIDE], first_across[SIDE];
    uint16_t down[MOST_TAPS], down_short[MOST_TAPS];
    float across[MOST_ACROSS], across_short[MOST_ACROSS];
    float margins[BITS], margin_step;
} Fused;

static uint16_t ONES[WINDOW_FUSED];

__attribute__((constructor)) static void make_ones(void) {
    for (int i = 0; i < WINDOW_FUSED; i++) ONES[i] = 1;
}

typedef float Eight __attribute__((vector_size(32)));
typedef int32_t Eights __attribute__((vector_size(32)));

#define WITHIN(...) __VA_ARGS__
#define ADD(to, a, b, one, two) to = DEAL(Eights, a, b, WITHIN one) + DEAL(Eights, a, b, WITHIN two)

/* Where the tent of an output begins: its box of boxes, each of which reaches window - half pixels back. */
static size_t first_of(size_t place, size_t length) {
    const size_t window = window_of(length), half = (window + 2) / 2;
    return centre_of(place, length) - 2 * (window - half);
}

/* The weight of a pixel in a tent of `boxes` boxes of `window` pixels. */
static size_t tent_at(size_t k, size_t window, size_t boxes) {
    const size_t top = window < boxes ? window : boxes, up = k + 1, down = window + boxes - 1 - k;
    return up < down ? (up < top ? up : top) : (down < top ? down : top);
}

/* The last output of an even window: one box fewer is whole, and the last is one pixel short and weighs more. */
static double short_at(size_t k, size_t window) {
    const double more = (double)window / (double)(window - 1);
    return k > 2 * window - 3 ? 0 : (double)tent_at(k, window, window - 1) + (k >= window - 1 ? more : 0);
}

static void weigh_across(Fused *fused, size_t width, int colours, double scale) {
    static const double parts[3] = {0.299, 0.587, 0.114}, whole[1] = {1};
    const double *part = colours == 3 ? parts : whole;
    const size_t window = window_of(width), channels = (size_t)colours;
    memset(fused->across, 0, fused->groups * GROUP * sizeof(float));
    memset(fused->across_short, 0, fused->groups * GROUP * sizeof(float));
    for (size_t k = 0; k < 2 * window - 1; k++)
        for (size_t c = 0; c < channels; c++) {
            const double weight = (double)tent_at(k, window, window), last = window & 1 ? weight : short_at(k, window);
            fused->across[k * channels + c] = (float)(weight * part[c] * scale);
            fused->across_short[k * channels + c] = (float)(last * part[c] * scale);
        }
}

static void prepare(Fused *fused, size_t height, size_t width, int colours) {
    const size_t down = window_of(height), across = window_of(width), channels = (size_t)colours;
    fused->stride = width * channels;
    fused->window_down = down;
    fused->groups = (channels * (2 * across - 1) + GROUP - 1) / GROUP;
    for (size_t i = 0; i < SIDE; i++) {
        fused->first_down[i] = first_of(i, height);
        fused->first_across[i] = first_of(i, width) * channels;
    }
    for (size_t k = 0; k < 2 * down - 1; k++) {
        fused->down[k] = (uint16_t)tent_at(k, down, down);
        fused->down_short[k] = (uint16_t)(k < 2 * down - 2 ? tent_at(k, down, down - 1) : 0);
    }
    weigh_across(fused, width, colours, 1.0 / ((double)(down * down) * (double)(across * across)));
    const float margin = colours == 3 ? MARGIN_RGB : MARGIN_LUMA;
    for (int i = 0; i < LOW; i++)
        for (int j = 0; j < LOW; j++)
            fused->margins[i * LOW + j] =
                margin * sqrtf((float)height / (float)((i + 1) * (i + 1)) + (float)width / (float)((j + 1) * (j + 1)));
    fused->margin_step = (colours == 3 ? STEP_RGB : STEP_LUMA) * (float)(height + width);
}

/* Lanes of two vectors in a given order, by clang's spelling, which gcc has had since 12, or by gcc's own. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define DEAL(order, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef DEAL
#define DEAL(order, a, b, ...) __builtin_shuffle(a, b, (order){__VA_ARGS__})
#endif

#define ALWAYS static inline __attribute__((always_inline))

#include "pdq_plain.h"
#include "pdq_lanes.h"
#include "pdq_fused.h"
#include "pdq_unset.h"
#if defined(__x86_64__)
#include "pdq_avx2.h"
#include "pdq_lanes.h"
#include "pdq_fused.h"
#include "pdq_unset.h"
#include "pdq_avx512.h"
#include "pdq_lanes.h"
#include "pdq_fused.h"
#include "pdq_unset.h"
#endif

#include "pdq_bits.h"

#define VARIANT(name, target)                                                                                          \
    target static int fused_##name(const Fused *fused, const uint8_t *pixels, float *row, uint8_t *prints,            \
                                   int *quality) {                                                                     \
        float small[SIDE][SIDE], coefficients[BITS];                                                                   \
        fused_small_##name(pixels, fused, row, row + fused->stride + 2 * GROUP, small);                                \
        cosines(small, coefficients);                                                                                  \
        const int certain = all_bits(coefficients, fused->margins, prints);                                           \
        return quality_of(small, fused->margin_step, quality) && certain;                                              \
    }                                                                                                                  \
    target static void exact_##name(const Work *work, const uint8_t *pixels, uint8_t *prints, int *quality) {         \
        float small[SIDE][SIDE], coefficients[BITS];                                                                   \
        small_of_##name(work, pixels, small);                                                                          \
        cosines(small, coefficients);                                                                                  \
        all_bits(coefficients, NULL, prints);                                                                          \
        quality_of(small, 0, quality);                                                                                 \
    }

VARIANT(plain, )
#if defined(__x86_64__)
VARIANT(avx2, __attribute__((target("avx2,fma"))))
VARIANT(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))))
#endif

typedef struct {
    int (*fused)(const Fused *, const uint8_t *, float *, uint8_t *, int *);
    void (*exact)(const Work *, const uint8_t *, uint8_t *, int *);
} Ways;

/* The widest instructions that the processor has, but none wider than `lanes` (0: no limit). */
static Ways choose(int lanes) {
#if defined(__x86_64__)
    const int wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl");
    if (wide && (!lanes || lanes >= 16)) return (Ways){fused_avx512, exact_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && (!lanes || lanes >= 8))
        return (Ways){fused_avx2, exact_avx2};
#endif
    (void)lanes;
    return (Ways){fused_plain, exact_plain};
}

static int is_fusible(size_t length) { return length >= LEAST_FUSED && window_of(length) <= WINDOW_FUSED; }

enum { EITHER_WAY, EXACT_WAY, FUSED_WAY };

/* 1: by the fused way, 0: by the exact way, -1: no memory. `how` allows one way only; pictures that the fused way is not
 * for go the exact way whatever it says. */
int vetset_pdq(const uint8_t *pixels, size_t height, size_t width, int colours, int lanes, int how, uint8_t *prints,
               int *quality) {
    const Ways ways = choose(lanes);
    if (how != EXACT_WAY && is_fusible(height) && is_fusible(width)) {
        Fused fused;
        prepare(&fused, height, width, colours);
        Block *rows = take(2 * (fused.stride + 2 * GROUP));
        if (!rows) return -1;
        const int certain = ways.fused(&fused, pixels, rows->planes, prints, quality);
        give_back(rows);
        if (certain || how == FUSED_WAY) return 1;
    }
    Work work;
    Block *block = set_up(&work, height, width, colours);
    if (!block) return -1;
    ways.exact(&work, pixels, prints, quality);
    give_back(block);
    return 0;
}

#ifndef VETSET_FUZZ
static PyObject *pdq(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer pixels, prints;
    Py_ssize_t height, width;
    int colours, lanes = 0, how = EITHER_WAY, quality = 0, done = -1;
    if (!PyArg_ParseTuple(args, "y*nniw*|ii", &pixels, &height, &width, &colours, &prints, &lanes, &how)) return NULL;
    const int shaped = height >= LEAST && width >= LEAST && (colours == 1 || colours == 3) && height <= MOST &&
                       width <= MOST && pixels.len == height * width * colours && prints.len == ORIENTATIONS * BYTES;
    if (shaped) {
        Py_BEGIN_ALLOW_THREADS
        done = vetset_pdq(pixels.buf, (size_t)height, (size_t)width, colours, lanes, how, prints.buf, &quality);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&pixels);
    PyBuffer_Release(&prints);
    if (!shaped) return PyErr_Format(PyExc_ValueError, "the pixels and their shape disagree");
    if (done < 0) return PyErr_NoMemory();
    return PyTuple_GET_SIZE(args) < 7 ? PyLong_FromLong(quality) : Py_BuildValue("ii", quality, done);
}

PyMethodDef pdq_methods[] = {
    {"pdq", pdq, METH_VARARGS, "pdq(pixels, height, width, colours, prints[, lanes]) -> quality; with how: (quality, whether by the fused way)"},
    {NULL, NULL, 0, NULL},
};
#endif
