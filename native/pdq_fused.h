/* The 64x64 picture almost without rounding, for one set of instructions: included once for each (see pdq_lanes.h).
 *
 * Two passes of a box of `window` pixels are one tent of 2 * window - 1 pixels with whole weights 1, 2 .. window .. 2, 1
 * over window * window, and it is the same for every one of the 64 outputs of an axis: none of the boxes meets an edge,
 * but the last box of the last output, which is one pixel short where the window is even (`down_short`).
 * So the pass down is exact in integers, and touches each pixel about once.
 */

enum { NAME(TAKEN) = 2 * LANES };
#define TAKEN NAME(TAKEN)

typedef uint8_t NAME(Bytes) __attribute__((vector_size(TAKEN)));
typedef uint16_t NAME(Narrow) __attribute__((vector_size(2 * TAKEN)));
typedef int32_t NAME(Wide) __attribute__((vector_size(4 * TAKEN)));
typedef float NAME(Floats) __attribute__((vector_size(4 * TAKEN)));

/* Sums down the rows of a tent: TAKEN columns from `pixels` on. In 16 bits as long as they hold them, which is always
 * the case for windows up to 16. */
TARGET ALWAYS void NAME(down_lanes)(const uint8_t *pixels, size_t stride, const uint16_t *weights, size_t count,
                                           float *out) {
    NAME(Wide) total = {0};
    NAME(Narrow) part = {0};
    unsigned held = 0;
    int split = 0;
    for (size_t k = 0; k < count; k++) {
        if (held + weights[k] > MOST_HELD) {
            total += __builtin_convertvector(part, NAME(Wide));
            part = (NAME(Narrow)){0};
            held = 0, split = 1;
        }
        NAME(Bytes) bytes;
        memcpy(&bytes, pixels + k * stride, sizeof bytes);
        part += __builtin_convertvector(bytes, NAME(Narrow)) * weights[k];
        held += weights[k];
    }
    const NAME(Wide) last = __builtin_convertvector(part, NAME(Wide));
    const NAME(Floats) sums = __builtin_convertvector(split ? total + last : last, NAME(Floats));
    memcpy(out, &sums, sizeof sums);
}

/* The same for four groups of lanes side by side, where no sum can outgrow 16 bits. What comes `next` is asked for
 * meanwhile, in its own order: a processor does not foresee so many rows at once. */
TARGET ALWAYS void NAME(down_four)(const uint8_t *pixels, size_t stride, const uint16_t *weights, size_t count,
                                   const uint8_t *next, float *out) {
    NAME(Narrow) a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t k = 0; k < count; k++) {
        NAME(Bytes) e, f, g, h;
        const uint8_t *p = pixels + k * stride;
        memcpy(&e, p, sizeof e), memcpy(&f, p + TAKEN, sizeof f);
        memcpy(&g, p + 2 * TAKEN, sizeof g), memcpy(&h, p + 3 * TAKEN, sizeof h);
        const NAME(Narrow) weight = (NAME(Narrow)){0} + weights[k];
        for (size_t line = 0; line < 4 * TAKEN; line += 64) __builtin_prefetch(next + k * 4 * TAKEN + line, 0, 2);
        a += __builtin_convertvector(e, NAME(Narrow)) * weight;
        b += __builtin_convertvector(f, NAME(Narrow)) * weight;
        c += __builtin_convertvector(g, NAME(Narrow)) * weight;
        d += __builtin_convertvector(h, NAME(Narrow)) * weight;
    }
    const NAME(Floats) s = __builtin_convertvector(__builtin_convertvector(a, NAME(Wide)), NAME(Floats));
    const NAME(Floats) t = __builtin_convertvector(__builtin_convertvector(b, NAME(Wide)), NAME(Floats));
    const NAME(Floats) u = __builtin_convertvector(__builtin_convertvector(c, NAME(Wide)), NAME(Floats));
    const NAME(Floats) v = __builtin_convertvector(__builtin_convertvector(d, NAME(Wide)), NAME(Floats));
    memcpy(out, &s, sizeof s), memcpy(out + TAKEN, &t, sizeof t);
    memcpy(out + 2 * TAKEN, &u, sizeof u), memcpy(out + 3 * TAKEN, &v, sizeof v);
}

/* A whole row of sums. The last group overlaps the one before it; the stride is TAKEN at least. */
TARGET static void NAME(down_row)(const uint8_t *pixels, size_t stride, const uint16_t *weights, size_t count,
                                  int narrow, const uint8_t *next, float *out) {
    size_t x = 0;
    if (narrow)
        for (; x + 4 * TAKEN <= stride; x += 4 * TAKEN)
            NAME(down_four)(pixels + x, stride, weights, count, next + x * count, out + x);
    for (; x + TAKEN <= stride; x += TAKEN) NAME(down_lanes)(pixels + x, stride, weights, count, out + x);
    if (x < stride) {
        x = stride - TAKEN;
        NAME(down_lanes)(pixels + x, stride, weights, count, out + x);
    }
}

/* 64 sums along a row of which each has the same weights but the last, padded with zeros to whole groups. */
TARGET static void NAME(across_row)(const float *row, const size_t *firsts, const float *weights,
                                    const float *weights_of_last, size_t groups, float out[SIDE]) {
    for (size_t j = 0; j < SIDE; j += GROUP) {
        Eight sums[GROUP];
        for (size_t n = 0; n < GROUP; n++) {
            const float *from = row + firsts[j + n], *mine = j + n < SIDE - 1 ? weights : weights_of_last;
            Eight sum = {0};
            for (size_t k = 0; k < groups; k++) {
                Eight values, weight;
                memcpy(&values, from + k * GROUP, sizeof values), memcpy(&weight, mine + k * GROUP, sizeof weight);
                sum += values * weight;
            }
            sums[n] = sum;
        }
        /* Eight sums of eight lanes each become eight lanes of sums. */
        for (int n = 0; n < 4; n++)
            ADD(sums[n], sums[n], sums[n + 4], (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15));
        for (int n = 0; n < 2; n++)
            ADD(sums[n], sums[n], sums[n + 2], (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15));
        ADD(sums[0], sums[0], sums[1], (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15));
        memcpy(out + j, sums, sizeof *sums);
    }
}

/* The 64x64 picture. `row` has room for a row's sums and 2 * GROUP zeros behind it. */
TARGET static void NAME(fused_small)(const uint8_t *pixels, const Fused *fused, float *row, float *spare,
                                     float small[SIDE][SIDE]) {
    const size_t stride = fused->stride, window = fused->window_down;
    const int narrow = window <= 16;
    for (size_t i = 0; i < SIDE; i++) {
        const uint8_t *first = pixels + fused->first_down[i] * stride;
        const uint8_t *next = i < SIDE - 1 ? pixels + fused->first_down[i + 1] * stride : first;
        if (i < SIDE - 1 || window & 1)
            NAME(down_row)(first, stride, fused->down, 2 * window - 1, narrow, next, row);
        else {
            const float more = (float)window / (float)(window - 1);
            NAME(down_row)(first, stride, fused->down_short, 2 * window - 2, narrow, next, row);
            NAME(down_row)(first + (window - 1) * stride, stride, ONES, window - 1, narrow, next, spare);
            for (size_t x = 0; x < stride; x++) row[x] += more * spare[x];
        }
        NAME(across_row)(row, fused->first_across, fused->across, fused->across_short, fused->groups, small[i]);
    }
}

#undef TAKEN
