/* What pdq_lanes.h needs to be told for processors with AVX-512: sixteen lanes. */
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define NAME(x) x##_avx512
#define LANES 16

/* A square of rows, in place: within lanes of 128 bits, then the lanes themselves. */
TARGET ALWAYS void transpose_avx512(__m512 *s) {
    __m512 t[LANES], u[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(s[i], s[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(s[i], s[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4) {
        const __m512d a = (__m512d)t[i], b = (__m512d)t[i + 1], c = (__m512d)t[i + 2], d = (__m512d)t[i + 3];
        u[i] = (__m512)_mm512_unpacklo_pd(a, c), u[i + 1] = (__m512)_mm512_unpackhi_pd(a, c);
        u[i + 2] = (__m512)_mm512_unpacklo_pd(b, d), u[i + 3] = (__m512)_mm512_unpackhi_pd(b, d);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512 a = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88), b = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
        const __m512 c = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88), d = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
        s[i] = _mm512_shuffle_f32x4(a, c, 0x88), s[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        s[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88), s[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

/* a / b, rounded as a division is, by the reciprocal of b as it is rounded (Markstein 1990: the last step is exact as
 * long as nothing underflows; b is a whole number, a a sum of grey levels). A third of a division's time. */
TARGET ALWAYS __m512 divide_avx512(__m512 a, __m512 b, __m512 reciprocal) {
    const __m512 near = _mm512_mul_ps(a, reciprocal);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(near, b, a), reciprocal, near);
}

TARGET ALWAYS __m512 grey_avx512(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
}

/* Sums of 299, 587 and 114 thousandths. Each block of 12 bytes goes to a lane of 16; there red and green, and blue,
 * become pairs of 16 bits. No byte behind the last pixel is read. */
TARGET ALWAYS __m512 thousandths_avx512(const uint8_t *p) {
    const __m512i deal = _mm512_setr_epi32(0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11, 15);
    const __m512i red_green = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1));
    const __m512i blue = _mm512_broadcast_i32x4(
        _mm_setr_epi8(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1));
    const __m512i dealt = _mm512_permutexvar_epi32(deal, _mm512_maskz_loadu_epi32(0xfff, p));
    const __m512i rg = _mm512_madd_epi16(_mm512_shuffle_epi8(dealt, red_green), _mm512_set1_epi32(587 << 16 | 299));
    const __m512i b = _mm512_madd_epi16(_mm512_shuffle_epi8(dealt, blue), _mm512_set1_epi32(114));
    return _mm512_cvtepi32_ps(_mm512_add_epi32(rg, b));
}
