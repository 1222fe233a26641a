/* What pdq_lanes.h needs to be told for processors with AVX2: eight lanes. */
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_avx2
#define LANES 8

/* A square of rows, in place: within lanes of 128 bits, then the lanes themselves. */
TARGET ALWAYS void transpose_avx2(__m256 *s) {
    __m256 t[LANES], u[LANES];
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm256_unpacklo_ps(s[i], s[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(s[i], s[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < LANES; i += 4) {
        const __m256d a = (__m256d)t[i], b = (__m256d)t[i + 1], c = (__m256d)t[i + 2], d = (__m256d)t[i + 3];
        u[i] = (__m256)_mm256_unpacklo_pd(a, c), u[i + 1] = (__m256)_mm256_unpackhi_pd(a, c);
        u[i + 2] = (__m256)_mm256_unpacklo_pd(b, d), u[i + 3] = (__m256)_mm256_unpackhi_pd(b, d);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        s[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        s[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

/* a / b, rounded as a division is, by the reciprocal of b as it is rounded (Markstein 1990: the last step is exact as
 * long as nothing underflows; b is a whole number, a a sum of grey levels). A third of a division's time. */
TARGET ALWAYS __m256 divide_avx2(__m256 a, __m256 b, __m256 reciprocal) {
    const __m256 near = _mm256_mul_ps(a, reciprocal);
    return _mm256_fmadd_ps(_mm256_fnmadd_ps(near, b, a), reciprocal, near);
}

TARGET ALWAYS __m256 grey_avx2(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)));
}

/* Sums of 299, 587 and 114 thousandths. Each block of 12 bytes goes to a lane of 16; there red and green, and blue,
 * become pairs of 16 bits. No byte behind the last pixel is read. */
TARGET ALWAYS __m256 thousandths_avx2(const uint8_t *p) {
    const __m256i deal = _mm256_setr_epi32(0, 1, 2, 7, 3, 4, 5, 7), six = _mm256_setr_epi32(-1, -1, -1, -1, -1, -1, 0, 0);
    const __m256i red_green = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1));
    const __m256i blue = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1));
    const __m256i dealt = _mm256_permutevar8x32_epi32(_mm256_maskload_epi32((const void *)p, six), deal);
    const __m256i rg = _mm256_madd_epi16(_mm256_shuffle_epi8(dealt, red_green), _mm256_set1_epi32(587 << 16 | 299));
    const __m256i b = _mm256_madd_epi16(_mm256_shuffle_epi8(dealt, blue), _mm256_set1_epi32(114));
    return _mm256_cvtepi32_ps(_mm256_add_epi32(rg, b));
}
