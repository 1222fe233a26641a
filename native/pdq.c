/* PDQ of RGB and luma pixels, bit for bit as the reference computes it (kernels/pdq.py is the definition).
 *
 * Two ways to the 64x64 picture that everything follows from:
 *   exact   the reference's own order of single-precision operations: two passes of a running box along rows and columns
 *   fused   the same filter and decimation as one sparse product per axis: each of the 64 outputs is a weighted sum
 * They differ by rounding. The fused way is taken first; where a bit or the quality could come out otherwise within
 * MARGIN, the exact way decides. So the answer is the reference's, and most pictures cost a tenth.
 *
 * -ffp-contract=off (setup.py) keeps the exact way exact where the processor could fuse a product and a sum.
 */
#include "native.h"
#include <math.h>
#include <stdlib.h>

enum { SIDE = 64, LOW = 16, BITS = LOW * LOW, ORIENTATIONS = 8, BYTES = BITS / 8, LEAST = 5, LEAST_FUSED = 64 };

/* How far the fused way may be from the reference's, for each pixel of height and width together: the reference's
 * running sums drift with their length. Measured on 250 photos of 320 to 1200 pixels: at most 2.2e-6 for a coefficient
 * and 0.9e-6 for a grey level (a step of quality is 100/255 of two of them); taken wider. Both ends of a
 * gap would have to be off by as much, towards each other. */
#define MARGIN_COEFFICIENT 3e-6f
#define MARGIN_STEP 2e-6f

#define INLINE static inline __attribute__((always_inline))

static float MATRIX[LOW][SIDE];
static float MATRIX_T[SIDE][LOW];

__attribute__((constructor)) static void make_matrix(void) {
    const float scale = sqrtf(2.0f / SIDE);
    for (int i = 0; i < LOW; i++)
        for (int j = 0; j < SIDE; j++)
            MATRIX_T[j][i] = MATRIX[i][j] = (float)((double)scale * cos((M_PI / 2 / SIDE) * (i + 1) * (2 * j + 1)));
}

static size_t window_of(size_t length) { return (length + 2 * SIDE - 1) / (2 * SIDE); }
static size_t centre_of(size_t place, size_t length) { return (size_t)(((double)place + 0.5) * (double)length / SIDE); }

/* --- the exact way ------------------------------------------------------------------------------------------------ */

/* Luma as the reference makes it: in double, summed from the left, rounded once. */
INLINE float luma_of(const uint8_t *p) { return (float)(p[0] * 0.299 + p[1] * 0.587 + p[2] * 0.114); }

/* How many values each mean of a box is of. */
INLINE void box_counts(float *restrict counts, size_t length) {
    const size_t window = window_of(length), half = (window + 2) / 2, full = window - half + 1;
    for (size_t i = 0; i < length; i++) {
        const size_t low = i < full ? 0 : i - full + 1, high = i + half - 1 < length - 1 ? i + half - 1 : length - 1;
        counts[i] = (float)(high - low + 1);
    }
}

enum { TOGETHER = 8 };

/* Running sums along TOGETHER rows side by side, so that one row's additions hide behind the others'. A row that is not
 * there repeats the first. sums: TOGETHER rows of `width`. */
INLINE void row_sums(const float *plane, size_t width, size_t rows, float *restrict sums) {
    const size_t window = window_of(width), half = (window + 2) / 2;
    const float *in[TOGETHER];
    float *restrict out[TOGETHER], sum[TOGETHER] = {0};
    for (size_t r = 0; r < TOGETHER; r++) in[r] = plane + (r < rows ? r : 0) * width, out[r] = sums + r * width;
    size_t right = 0, left = 0, at = 0;
    for (; right < half - 1; right++) for (int r = 0; r < TOGETHER; r++) sum[r] += in[r][right];
    for (size_t i = 0; i < window - half + 1; i++, right++, at++)
        for (int r = 0; r < TOGETHER; r++) out[r][at] = sum[r] += in[r][right];
    for (size_t i = 0; i < width - window; i++, right++, left++, at++)
        for (int r = 0; r < TOGETHER; r++) {
            sum[r] += in[r][right];
            sum[r] -= in[r][left];
            out[r][at] = sum[r];
        }
    for (size_t i = 0; i < half - 1; i++, left++, at++)
        for (int r = 0; r < TOGETHER; r++) out[r][at] = sum[r] -= in[r][left];
}

/* Means along rows, in place; with `centres`, only the 64 that are asked for, into rows of 64. */
INLINE void box_rows(float *plane, size_t height, size_t width, const float *restrict counts, const size_t *centres,
                     float *restrict sums, float *restrict chosen) {
    for (size_t top = 0; top < height; top += TOGETHER) {
        const size_t rows = height - top < TOGETHER ? height - top : TOGETHER;
        row_sums(plane + top * width, width, rows, sums);
        for (size_t r = 0; r < rows; r++) {
            const float *restrict from = sums + r * width;
            float *restrict to = centres ? chosen + (top + r) * SIDE : plane + (top + r) * width;
            if (centres) for (size_t j = 0; j < SIDE; j++) to[j] = from[centres[j]] / counts[centres[j]];
            else for (size_t x = 0; x < width; x++) to[x] = from[x] / counts[x];
        }
    }
}

/* Means along columns of a plane `width` wide, all columns at once. */
INLINE void box_columns(const float *plane, float *out, size_t height, size_t width, float *restrict sum) {
    const size_t window = window_of(height), half = (window + 2) / 2;
    size_t right = 0, left = 0, at = 0;
    float count = 0;
    for (size_t x = 0; x < width; x++) sum[x] = 0;
    for (; right < half - 1; right++, count++) {
        const float *restrict p = plane + right * width;
        for (size_t x = 0; x < width; x++) sum[x] += p[x];
    }
    for (size_t i = 0; i < window - half + 1; i++, right++, at++) {
        const float *restrict p = plane + right * width;
        float *restrict q = out + at * width;
        count += 1;
        for (size_t x = 0; x < width; x++) { sum[x] += p[x]; q[x] = sum[x] / count; }
    }
    for (size_t i = 0; i < height - window; i++, right++, left++, at++) {
        const float *restrict p = plane + right * width, *restrict m = plane + left * width;
        float *restrict q = out + at * width;
        for (size_t x = 0; x < width; x++) {
            float s = sum[x] + p[x];
            s -= m[x];
            sum[x] = s;
            q[x] = s / count;
        }
    }
    for (size_t i = 0; i < half - 1; i++, left++, at++) {
        const float *restrict m = plane + left * width;
        float *restrict q = out + at * width;
        count -= 1;
        for (size_t x = 0; x < width; x++) { sum[x] -= m[x]; q[x] = sum[x] / count; }
    }
}

/* Floats of scratch that the exact way needs. */
static size_t exact_floats(size_t height, size_t width) {
    return 2 * height * width + 2 * height * SIDE + (TOGETHER + 2) * width + SIDE;
}

INLINE void exact_small(const uint8_t *pixels, size_t height, size_t width, int colours, float *scratch,
                        float small[SIDE][SIDE]) {
    float *plane = scratch, *other = plane + height * width, *narrow = other + height * width;
    float *narrower = narrow + height * SIDE, *sums = narrower + height * SIDE, *counts = sums + TOGETHER * width;
    float *sum = counts + width;
    const size_t count = height * width;
    size_t centres[SIDE];
    for (size_t j = 0; j < SIDE; j++) centres[j] = centre_of(j, width);
    box_counts(counts, width);
    if (colours == 3) for (size_t i = 0; i < count; i++) plane[i] = luma_of(pixels + 3 * i);
    else for (size_t i = 0; i < count; i++) plane[i] = pixels[i];
    box_rows(plane, height, width, counts, NULL, sums, NULL);
    box_columns(plane, other, height, width, sum);
    box_rows(other, height, width, counts, centres, sums, narrow);  /* of the rest only 64 columns are ever looked at */
    box_columns(narrow, narrower, height, SIDE, sum);
    for (size_t i = 0; i < SIDE; i++) memcpy(small[i], narrower + centre_of(i, height) * SIDE, sizeof small[i]);
}

/* --- the fused way ------------------------------------------------------------------------------------------------ */

typedef struct { size_t first, count; float *weights; } Tent;

/* Weights of one output: the box of boxes that is centred there. box: windows of one pass around a place. */
static void bounds(size_t place, size_t length, size_t window, size_t half, size_t *low, size_t *high) {
    *low = place + half > window ? place + half - window : 0;
    *high = place + half - 1 < length - 1 ? place + half - 1 : length - 1;
}

/* Fills 64 tents over `store` (64 * 4 * window floats at most); answers the largest count. */
static size_t make_tents(Tent *tents, float *store, size_t length) {
    const size_t window = window_of(length), half = (window + 2) / 2;
    size_t most = 0;
    for (size_t i = 0; i < SIDE; i++) {
        size_t outer_low, outer_high, low, high, last;
        bounds(centre_of(i, length), length, window, half, &outer_low, &outer_high);
        bounds(outer_low, length, window, half, &low, &high);
        const size_t first = low;
        bounds(outer_high, length, window, half, &low, &last);
        const size_t count = last - first + 1;
        for (size_t k = 0; k < count; k++) store[k] = 0;
        for (size_t o = outer_low; o <= outer_high; o++) {
            bounds(o, length, window, half, &low, &high);
            const double weight = 1.0 / ((double)(outer_high - outer_low + 1) * (double)(high - low + 1));
            for (size_t k = low; k <= high; k++) store[k - first] += (float)weight;
        }
        tents[i] = (Tent){first, count, store};
        store += count;
        if (count > most) most = count;
    }
    return most;
}

/* One output row before the columns are filtered: a weighted sum of source rows, channels still side by side. */
INLINE void sum_rows(const uint8_t *restrict pixels, size_t stride, const Tent *tent, float *restrict out) {
    const uint8_t *restrict p = pixels + tent->first * stride;
    const float *weights = tent->weights;
    size_t k = tent->count & 1;
    if (k) for (size_t x = 0; x < stride; x++) out[x] = (float)p[x] * weights[0];
    else for (size_t x = 0; x < stride; x++) out[x] = 0;
    for (; k < tent->count; k += 2) {
        const uint8_t *restrict one = p + k * stride, *restrict two = one + stride;
        const float w = weights[k], v = weights[k + 1];
        for (size_t x = 0; x < stride; x++) out[x] += (float)one[x] * w + (float)two[x] * v;
    }
}

INLINE void fused_small(const uint8_t *pixels, size_t width, int colours, const Tent *down, const Tent *across,
                        float *row, float *luma, float small[SIDE][SIDE]) {
    for (size_t i = 0; i < SIDE; i++) {
        sum_rows(pixels, width * (size_t)colours, down + i, row);
        const float *line = row;
        if (colours == 3) {
            for (size_t x = 0; x < width; x++)
                luma[x] = 0.299f * row[3 * x] + 0.587f * row[3 * x + 1] + 0.114f * row[3 * x + 2];
            line = luma;
        }
        for (size_t j = 0; j < SIDE; j++) {
            const Tent *tent = across + j;
            float a = 0;
            for (size_t k = 0; k < tent->count; k++) a += line[tent->first + k] * tent->weights[k];
            small[i][j] = a;
        }
    }
}

/* --- from the 64x64 picture on ------------------------------------------------------------------------------------ */

INLINE void cosines(float small[SIDE][SIDE], float out[BITS]) {
    float half[LOW][SIDE];
    for (int i = 0; i < LOW; i++) {
        float line[SIDE] = {0};
        for (int k = 0; k < SIDE; k++) {
            const float d = MATRIX[i][k];
            for (int j = 0; j < SIDE; j++) line[j] += d * small[k][j];
        }
        memcpy(half[i], line, sizeof line);
    }
    for (int i = 0; i < LOW; i++) {
        float line[LOW] = {0};
        for (int k = 0; k < SIDE; k++)
            for (int j = 0; j < LOW; j++) line[j] += half[i][k] * MATRIX_T[k][j];
        memcpy(out + i * LOW, line, sizeof line);
    }
}

/* The quality before it is capped, and how many of its steps lie so near to a whole number that rounding could move
 * them across it. */
INLINE int steps(float small[SIDE][SIDE], float margin, int *doubtful) {
    int total = 0, near = 0;
    for (int i = 0; i < SIDE; i++) {
        const float *line = small[i], *below = small[i + 1 < SIDE ? i + 1 : i];  /* the last row has no step down: 0 */
        for (int j = 0; j < SIDE - 1; j++) {
            const float step = fabsf((line[j] - line[j + 1]) * 100 / 255);
            const int whole = (int)step;
            total += whole;
            near += (step - (float)whole > 1 - margin) | ((step - (float)whole < margin) & (whole != 0));
        }
        for (int j = 0; j < SIDE; j++) {
            const float step = fabsf((line[j] - below[j]) * 100 / 255);
            const int whole = (int)step;
            total += whole;
            near += (step - (float)whole > 1 - margin) | ((step - (float)whole < margin) & (whole != 0));
        }
    }
    *doubtful = near;
    return total;
}

static int capped(int total) { return total / 90 > 100 ? 100 : total / 90; }

/* The k-th smallest of 256 (k from 0), and the gap to the values on both sides of it. */
static float middle_of(const float *values, float *gap) {
    float sorted[BITS];
    memcpy(sorted, values, sizeof sorted);
    const int k = (BITS - 1) / 2;
    int low = 0, high = BITS - 1;
    while (low < high) {
        const float pivot = sorted[(low + high) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (sorted[i] < pivot) i++;
            while (sorted[j] > pivot) j--;
            if (i <= j) { const float t = sorted[i]; sorted[i++] = sorted[j], sorted[j--] = t; }
        }
        if (k <= j) high = j;
        else if (k >= i) low = i;
        else break;
    }
    const float middle = sorted[k];
    float below = INFINITY, above = INFINITY;
    for (int i = 0; i < k; i++) if (middle - sorted[i] < below) below = middle - sorted[i];
    for (int i = k + 1; i < BITS; i++) if (sorted[i] - middle < above) above = sorted[i] - middle;
    *gap = below < above ? below : above;
    return middle;
}

static void pack(const float *values, float middle, uint8_t *out) {
    memset(out, 0, BYTES);
    for (int k = 0; k < BITS; k++)
        if (values[k] > middle) out[(BITS - 1 - k) >> 3] |= (uint8_t)(1u << (k & 7));
}

/* All orientations; answers the smallest gap around a median. */
static float all_bits(const float plain[BITS], uint8_t *out) {
    float signed_[4][BITS], least = INFINITY, middle[4];
    for (int i = 0; i < LOW; i++)
        for (int j = 0; j < LOW; j++) {
            const float v = plain[i * LOW + j];
            signed_[0][i * LOW + j] = v;
            signed_[1][i * LOW + j] = j & 1 ? v : -v;
            signed_[2][i * LOW + j] = i & 1 ? v : -v;
            signed_[3][i * LOW + j] = (i ^ j) & 1 ? -v : v;
        }
    for (int s = 0; s < 4; s++) {
        float gap;
        middle[s] = middle_of(signed_[s], &gap);
        if (gap < least) least = gap;
    }
    static const int sign_of[ORIENTATIONS] = {0, 1, 3, 2, 2, 1, 0, 3}, turned[ORIENTATIONS] = {0, 1, 0, 1, 0, 0, 1, 1};
    for (int o = 0; o < ORIENTATIONS; o++) {
        float values[BITS];
        for (int i = 0; i < LOW; i++)
            for (int j = 0; j < LOW; j++)
                values[i * LOW + j] = signed_[sign_of[o]][turned[o] ? j * LOW + i : i * LOW + j];
        pack(values, middle[sign_of[o]], out + o * BYTES);
    }
    return least;
}

/* Whether the answer of a 64x64 picture that may be off by a little is certain; fills prints and quality. */
INLINE int finish(float small[SIDE][SIDE], float margin_coefficient, float margin_step, uint8_t *prints, int *quality) {
    float coefficients[BITS];
    int doubtful;
    cosines(small, coefficients);
    const float gap = all_bits(coefficients, prints);
    const int total = steps(small, margin_step, &doubtful);
    *quality = capped(total);
    return gap > 2 * margin_coefficient && capped(total - doubtful) == capped(total + doubtful);
}

#define VARIANT(name, target)                                                                                          \
    target static int fused_##name(const uint8_t *pixels, size_t width, int colours, const Tent *down,                \
                                   const Tent *across, float *row, float *luma, float reach, uint8_t *prints,         \
                                   int *quality) {                                                                     \
        float small[SIDE][SIDE];                                                                                       \
        fused_small(pixels, width, colours, down, across, row, luma, small);                                           \
        return finish(small, MARGIN_COEFFICIENT * reach, MARGIN_STEP * reach, prints, quality);                        \
    }                                                                                                                  \
    target static void exact_##name(const uint8_t *pixels, size_t height, size_t width, int colours, float *scratch,  \
                                    uint8_t *prints, int *quality) {                                                   \
        float small[SIDE][SIDE];                                                                                       \
        exact_small(pixels, height, width, colours, scratch, small);                                                   \
        finish(small, 0, 0, prints, quality);                                                                          \
    }

VARIANT(plain, )
#if defined(__x86_64__)
VARIANT(avx2, __attribute__((target("avx2"))))
VARIANT(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))))
#endif

typedef int (*Fused)(const uint8_t *, size_t, int, const Tent *, const Tent *, float *, float *, float,
                     uint8_t *, int *);
typedef void (*Exact)(const uint8_t *, size_t, size_t, int, float *, uint8_t *, int *);

static void choose(Fused *fused, Exact *exact) {
    *fused = fused_plain, *exact = exact_plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        *fused = fused_avx512, *exact = exact_avx512;
    else if (__builtin_cpu_supports("avx2")) *fused = fused_avx2, *exact = exact_avx2;
#endif
}

/* Tents down and across, one row of sums, one row of luma. */
static int try_fused(Fused fused, const uint8_t *pixels, size_t height, size_t width, int colours, uint8_t *prints,
                     int *quality) {
    const size_t tents = SIDE * (2 * window_of(height) + 2 * window_of(width) + 4);
    float *store = malloc((tents + (size_t)(colours + 1) * width + 64) * sizeof *store);
    if (!store) return -1;
    Tent down[SIDE], across[SIDE];
    make_tents(down, store, height);
    make_tents(across, store + SIDE * (2 * window_of(height) + 2), width);
    float *row = store + tents;
    const int certain = fused(pixels, width, colours, down, across, row, row + (size_t)colours * width,
                              (float)(height + width), prints, quality);
    free(store);
    return certain;
}

/* 1: by the fused way, 0: by the exact way, -1: no memory. `how` 1 asks for the exact way only, 2 for the fused only. */
int vetset_pdq(const uint8_t *pixels, size_t height, size_t width, int colours, int how, uint8_t *prints, int *quality) {
    Fused fused;
    Exact exact;
    choose(&fused, &exact);
    if (how != 1 && height >= LEAST_FUSED && width >= LEAST_FUSED) {
        const int certain = try_fused(fused, pixels, height, width, colours, prints, quality);
        if (certain != 0 || how == 2) return certain < 0 ? -1 : 1;
    }
    float *scratch = malloc(exact_floats(height, width) * sizeof *scratch);
    if (!scratch) return -1;
    exact(pixels, height, width, colours, scratch, prints, quality);
    free(scratch);
    return 0;
}

#ifndef VETSET_FUZZ
static PyObject *pdq(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer pixels, prints;
    Py_ssize_t height, width;
    int colours, how = 0, quality = 0, done = -1;
    if (!PyArg_ParseTuple(args, "y*nniw*|i", &pixels, &height, &width, &colours, &prints, &how)) return NULL;
    const int shaped = height >= LEAST && width >= LEAST && (colours == 1 || colours == 3) && height <= 1 << 24 &&
                       width <= 1 << 24 && pixels.len == height * width * colours && prints.len == ORIENTATIONS * BYTES;
    if (shaped) {
        Py_BEGIN_ALLOW_THREADS
        done = vetset_pdq(pixels.buf, (size_t)height, (size_t)width, colours, how, prints.buf, &quality);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&pixels);
    PyBuffer_Release(&prints);
    if (!shaped) return PyErr_Format(PyExc_ValueError, "the pixels and their shape disagree");
    if (done < 0) return PyErr_NoMemory();
    return how ? Py_BuildValue("ii", quality, done) : PyLong_FromLong(quality);
}

PyMethodDef pdq_methods[] = {
    {"pdq", pdq, METH_VARARGS, "pdq(pixels, height, width, colours, prints[, how]) -> quality"},
    {NULL, NULL, 0, NULL},
};
#endif
