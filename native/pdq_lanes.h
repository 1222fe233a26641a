/* The 64x64 picture in the reference's own order of operations, for one set of instructions: included by pdq.c once for
 * each, with TARGET, NAME(x) and LANES defined (pdq_plain.h and its neighbours).
 *
 * Every number is made by the operations that the reference makes it by, in that order; what differs is only which
 * numbers are made side by side. Down a column, LANES columns run together; along a row, STRIP rows do, which are
 * transposed for it. All passes go through the picture in strips of rows, so that the planes between them never leave
 * the cache. It is included as text, not inlined: the compiler splits vectors wider than the target's before it inlines.
 */

typedef float NAME(Vector) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float NAME(Raw) __attribute__((vector_size(4 * LANES)));

enum { NAME(STRIP) = GROUPS * LANES, NAME(SUMS_MASK) = 4 * LANES - 1 };

#define Vector NAME(Vector)
#define STRIP NAME(STRIP)
#define SUMS_MASK NAME(SUMS_MASK)

TARGET ALWAYS Vector NAME(over)(Vector a, Vector b, Vector reciprocal) {
    return (Vector)NAME(divide)((NAME(Raw))a, (NAME(Raw))b, (NAME(Raw))reciprocal);
}

/* LANES pixels of luma as the reference has it: of RGB in double, summed from the left, and rounded once. The sum of
 * whole numbers, divided once in single precision, is the same for all of the 255,001 sums there are: none lies so near
 * to the middle of two floats that the error of the doubles (2^-45) could matter, and none is that middle. */
TARGET ALWAYS Vector NAME(luma)(const uint8_t *pixels, int colours) {
    if (colours == 1) return (Vector)NAME(grey)(pixels);
    return NAME(over)((Vector)NAME(thousandths)(pixels), (Vector){0} + 1000.0f, (Vector){0} + 1.0f / 1000.0f);
}

/* A block of LANES columns of STRIP rows, transposed. */
TARGET ALWAYS void NAME(stand_up)(const Strip *strip, size_t x, size_t rows, int colours, Vector *columns) {
    for (size_t g = 0; g < GROUPS; g++) {
        NAME(Raw) square[LANES];
#pragma GCC unroll 16
        for (size_t r = 0; r < LANES; r++) {
            const size_t row = g * LANES + r < rows ? g * LANES + r : 0; /* a row that is not there repeats the first */
            if (!colours) square[r] = (NAME(Raw))*(const Vector *)(strip->floats + row * strip->stride + x);
            else square[r] = (NAME(Raw))NAME(luma)(strip->pixels + row * strip->stride + x * (size_t)colours, colours);
        }
        NAME(transpose)((void *)square);
#pragma GCC unroll 16
        for (size_t r = 0; r < LANES; r++) columns[GROUPS * r + g] = (Vector)square[r];
    }
}

/* The last columns, fewer than LANES: no byte behind the last pixel is read. */
TARGET static void NAME(stand_up_rest)(const Strip *strip, size_t x, size_t width, size_t rows, int colours,
                                       Vector *columns) {
    uint8_t copy[STRIP * 3 * LANES] = {0};
    const size_t channels = (size_t)colours, room = channels * LANES;
    for (size_t r = 0; r < rows; r++)
        memcpy(copy + r * room, strip->pixels + r * strip->stride + x * channels, (width - x) * channels);
    const Strip rest = {.pixels = copy, .stride = room};
    if (colours == 1) NAME(stand_up)(&rest, 0, rows, 1, columns);
    else NAME(stand_up)(&rest, 0, rows, 3, columns);
}

/* LANES columns of sums become means in the first `rows` rows that `out` points at. */
TARGET ALWAYS void NAME(lay_down)(const Work *work, const Vector *sums, size_t rows, float *const *out, size_t x) {
    const Vector count = *(const Vector *)(work->counts + x), reciprocal = *(const Vector *)(work->reciprocals + x);
    for (size_t g = 0; g < GROUPS; g++) {
        NAME(Raw) square[LANES];
#pragma GCC unroll 16
        for (size_t r = 0; r < LANES; r++) square[r] = (NAME(Raw))sums[GROUPS * r + g];
        NAME(transpose)((void *)square);
        for (size_t r = 0; r < LANES && g * LANES + r < rows; r++)
            *(Vector *)(out[g * LANES + r] + x) = NAME(over)((Vector)square[r], count, reciprocal);
    }
}

/* Steps of the running sums of a strip, from column `x` on: what comes in, what goes out, and the sums, each a ring. */
TARGET ALWAYS void NAME(run)(const Vector *columns, size_t mask, Vector *sums, size_t x, size_t steps, size_t window,
                             size_t ahead, int comes, int goes, Vector *running) {
    Vector now[GROUPS];
    for (int g = 0; g < GROUPS; g++) now[g] = running[g];
    for (size_t k = x; k < x + steps; k++) {
        const Vector *in = columns + GROUPS * (k & mask), *gone = columns + GROUPS * ((k - window) & mask);
        Vector *out = sums + GROUPS * ((k - ahead) & SUMS_MASK);
#pragma GCC unroll 4
        for (int g = 0; g < GROUPS; g++) {
            if (comes) now[g] += in[g];
            if (goes) now[g] -= gone[g];
            out[g] = now[g];
        }
    }
    for (int g = 0; g < GROUPS; g++) running[g] = now[g];
}

/* The pass along STRIP rows at once. Of pixels (`colours`), means go to the rows of `out`; of floats (`colours` 0), only
 * the 64 columns that are looked at, standing, to `chosen`. */
TARGET ALWAYS void NAME(along)(const Work *work, const Strip *strip, size_t rows, int colours, float *const *out,
                               Vector *chosen) {
    const size_t width = work->width, window = window_of(width), ahead = (window + 2) / 2 - 1, mask = work->mask;
    Vector *columns = (Vector *)work->columns, sums[GROUPS * (SUMS_MASK + 1)] = {0}, running[GROUPS] = {0};
    size_t done = 0, steps;
    for (size_t x = 0; x < width + ahead; x += steps) {
        const size_t to_block = LANES - x % LANES, end = x < width ? width : width + ahead;
        steps = x + to_block < end ? to_block : end - x;
        if (x < width && x % LANES == 0) {
            Vector *block = columns + GROUPS * (x & mask);
            if (colours) {
                /* The next strip comes on the way meanwhile, in its own order: 32 rows at once are too many to foresee. */
                const size_t bytes = STRIP * LANES * (size_t)colours, from = x / LANES * bytes;
                for (size_t line = from; line < from + bytes && line < strip->beyond; line += 64)
                    __builtin_prefetch(strip->pixels + STRIP * strip->stride + line, 0, 2);
            }
            if (!colours || x + LANES <= width) NAME(stand_up)(strip, x, rows, colours, block);
            else NAME(stand_up_rest)(strip, x, width, rows, colours, block);
        }
        if (x < window && x + steps > window) steps = window - x; /* so that things go out in all of the steps or in none */
        if (x < width && x >= window) NAME(run)(columns, mask, sums, x, steps, window, ahead, 1, 1, running);
        else if (x < width) NAME(run)(columns, mask, sums, x, steps, window, ahead, 1, 0, running);
        else NAME(run)(columns, mask, sums, x, steps, window, ahead, 0, 1, running);
        const size_t summed = x + steps > ahead ? x + steps - ahead : 0;
        if (!colours)
            for (; done < SIDE && work->centres[done] < summed; done++) {
                const size_t centre = work->centres[done], at = GROUPS * (centre & SUMS_MASK);
                for (int g = 0; g < GROUPS; g++) chosen[GROUPS * done + g] = sums[at + g] / work->counts[centre];
            }
        else
            for (; done < width && (done + LANES <= summed || summed == width); done += LANES)
                NAME(lay_down)(work, sums + GROUPS * (done & SUMS_MASK), rows, out, done);
    }
}

/* One step down: a row comes in or none, a row goes out or none, and the means are told or not. */
TARGET ALWAYS void NAME(step)(float *sums, const float *in, const float *gone, float count, size_t padded, float *out) {
    const Vector counts = (Vector){0} + count, reciprocal = (Vector){0} + 1.0f / count;
    for (size_t x = 0; x < padded; x += LANES) {
        Vector sum = *(Vector *)(sums + x);
        if (in) sum += *(const Vector *)(in + x);
        if (gone) sum -= *(const Vector *)(gone + x);
        *(Vector *)(sums + x) = sum;
        if (out) *(Vector *)(out + x) = NAME(over)(sum, counts, reciprocal);
    }
}

TARGET static void NAME(step_down)(float *sums, const float *in, const float *gone, float count, size_t padded, float *out) {
    if (in && gone && out) NAME(step)(sums, in, gone, count, padded, out);
    else NAME(step)(sums, in, gone, count, padded, out);
}

/* The second pass along the rows of a strip that the first pass down has made. */
TARGET static void NAME(narrow_strip)(const Work *work, size_t top, size_t rows) {
    const Strip strip = {.floats = work->blurred, .stride = work->padded};
    Vector chosen[GROUPS * SIDE];
    NAME(along)(work, &strip, rows, 0, NULL, chosen);
    for (size_t j = 0; j < SIDE; j += LANES)
        for (size_t g = 0; g < GROUPS; g++) {
            NAME(Raw) square[LANES];
#pragma GCC unroll 16
            for (size_t r = 0; r < LANES; r++) square[r] = (NAME(Raw))chosen[GROUPS * (j + r) + g];
            NAME(transpose)((void *)square);
            for (size_t r = 0; r < LANES && g * LANES + r < rows; r++)
                *(Vector *)(work->narrow + (top + g * LANES + r) % work->ring_rows * SIDE + j) = (Vector)square[r];
        }
}

/* A step of the last pass down, of 64 columns; only 64 rows of it are looked at, of which `told` were. */
TARGET static size_t NAME(last_step)(const Work *work, size_t y, size_t told, float small[SIDE][SIDE]) {
    const size_t height = work->height, at = y - work->ahead;
    const float *in = y < height ? work->narrow + y % work->ring_rows * SIDE : NULL;
    const float *gone = y >= work->window ? work->narrow + (y - work->window) % work->ring_rows * SIDE : NULL;
    const int asked = y >= work->ahead && told < SIDE && centre_of(told, height) == at;
    NAME(step_down)(work->last, in, gone, count_at(work, y), SIDE, asked ? small[told] : NULL);
    if (!asked) return told;
    for (told++; told < SIDE && centre_of(told, height) == at; told++) memcpy(small[told], small[told - 1], sizeof *small);
    return told;
}

/* The first pass along STRIP rows from `top` on, into the ring of rows. */
TARGET static void NAME(first_strip)(const Work *work, const uint8_t *pixels, size_t top, size_t rows) {
    const size_t after = top + STRIP < work->height ? work->height - top - STRIP : 0; /* rows of the next strip and on */
    const Strip strip = {
        .pixels = pixels + top * work->stride, .stride = work->stride, .beyond = after * work->stride};
    float *out[STRIP];
    for (size_t r = 0; r < rows; r++) out[r] = work->ring + (top + r) % work->ring_rows * work->padded;
    if (work->colours == 1) NAME(along)(work, &strip, rows, 1, out, NULL);
    else NAME(along)(work, &strip, rows, 3, out, NULL);
}

/* The 64x64 picture of one of at least LEAST pixels a side. */
TARGET static void NAME(small_of)(const Work *work, const uint8_t *pixels, float small[SIDE][SIDE]) {
    const size_t height = work->height, padded = work->padded;
    size_t filled = 0, narrowed = 0, told = 0;
    for (size_t y = 0; y < height + work->ahead; y++) {
        if (y < height && y % STRIP == 0) NAME(first_strip)(work, pixels, y, height - y < STRIP ? height - y : STRIP);
        const float *in = y < height ? work->ring + y % work->ring_rows * padded : NULL;
        const float *gone = y >= work->window ? work->ring + (y - work->window) % work->ring_rows * padded : NULL;
        float *out = y >= work->ahead ? work->blurred + filled * padded : NULL;
        NAME(step_down)(work->running, in, gone, count_at(work, y), padded, out);
        if (!out || (++filled < STRIP && narrowed + filled < height)) continue;
        NAME(narrow_strip)(work, narrowed, filled);
        for (size_t r = 0; r < filled; r++) told = NAME(last_step)(work, narrowed + r, told, small);
        narrowed += filled, filled = 0;
    }
    for (size_t y = height; y < height + work->ahead; y++) told = NAME(last_step)(work, y, told, small);
}

#undef Vector
#undef STRIP
#undef SUMS_MASK
