/* Montgomery squaring and multiplication in radix 2^52 with AVX-512 IFMA: V vectors of eight lanes, all in registers.
 *
 * vpmadd52luq and vpmadd52huq multiply 52-bit lanes and add the low or high half of the products to 64-bit lanes. One
 * row adds b_i * a for one limb b_i, then makes the lowest limb zero by adding a multiple of N, and moves down by one
 * limb. Carries stay in the twelve bits above each limb until the rows are done: docs/kernel.md proves that they fit.
 */

#include "kernel.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>

#define IFMA __attribute__((target("avx512f,avx512ifma")))
#define INLINE static inline __attribute__((always_inline)) IFMA
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Up to this many vectors the registers hold sums of their own for the reduction, which shortens its chain. */
#define SPLIT_VECTORS_MAX 5

typedef __m512i vec;

/* What the rows add up, by how far above the lowest limb, in vectors. Index V is the first vector, one lane higher. */
struct sums {
    vec once[VECTORS_MAX + 1];  /* products that count once, and carries */
    vec twice[VECTORS_MAX + 1]; /* products a_i * a_j of a square that stand for a_j * a_i too */
    vec reduction[VECTORS_MAX + 1];
};

INLINE vec zero(void) { return _mm512_setzero_si512(); }
INLINE vec add(vec a, vec b) { return _mm512_add_epi64(a, b); }
INLINE vec add_low(vec sum, vec a, vec b) { return _mm512_madd52lo_epu64(sum, a, b); }
INLINE vec add_high(vec sum, vec a, vec b) { return _mm512_madd52hi_epu64(sum, a, b); }
INLINE vec first_lane(vec a) { return _mm512_broadcastq_epi64(_mm512_castsi512_si128(a)); }
INLINE vec one_lane_up(vec a) { return _mm512_maskz_alignr_epi64(0xfe, a, a, 7); }
INLINE vec one_lane_down(vec a) {
    /* Quicker here than valignq by a sixth at 1024 bits, measured on Zen 4. */
    return _mm512_maskz_permutexvar_epi64(0x7f, _mm512_set_epi64(0, 7, 6, 5, 4, 3, 2, 1), a);
}

INLINE void load(int V, vec *to, const uint64_t *from) {
    UNROLL for (int v = 0; v < V; v++) to[v] = _mm512_loadu_si512(from + LANES * v);
}

INLINE void store(int V, uint64_t *to, const vec *from) {
    UNROLL for (int v = 0; v < V; v++) _mm512_storeu_si512(to + LANES * v, from[v]);
}

INLINE void clear(int V, vec *sum) {
    UNROLL for (int v = 0; v <= V; v++) sum[v] = zero();
}

INLINE void one_limb_down(int V, vec *sum) {
    UNROLL for (int v = 0; v < V; v++) sum[v] = sum[v + 1];
    sum[V] = zero();
}

INLINE void add_product(int V, int from, vec b, const vec *a, vec *sum) {
    UNROLL for (int v = from; v < V; v++) sum[v] = add_low(sum[v], b, a[v]);
    UNROLL for (int v = from; v < V; v++) sum[v + 1] = add_high(sum[v + 1], b, a[v]);
}

/* One limb of a in vector `row` times a: vectors below it have had this product in their own rows. */
INLINE void add_square(int V, int row, vec b, const vec *a, struct sums *sums) {
    sums->once[row] = add_low(sums->once[row], b, a[row]);
    sums->once[row + 1] = add_high(sums->once[row + 1], b, a[row]);
    add_product(V, row + 1, b, a, sums->twice);
}

INLINE vec *reduction_of(int V, struct sums *sums) {
    return V <= SPLIT_VECTORS_MAX ? sums->reduction : sums->once;
}

/* The vector that holds the lowest limb; everything else moves down by one limb. */
INLINE vec take_lowest(int V, struct sums *sums) {
    vec lowest = add(sums->once[0], add(sums->twice[0], sums->twice[0]));
    one_limb_down(V, sums->once);
    one_limb_down(V, sums->twice);
    if (V <= SPLIT_VECTORS_MAX) {
        lowest = add(lowest, sums->reduction[0]);
        one_limb_down(V, sums->reduction);
    }
    return lowest;
}

/* Its first lane is done with but for the carry; the other lanes come next V limbs later, as one lane lower. */
INLINE void give_back(int V, vec lowest, struct sums *sums) {
    sums->once[0] = add(sums->once[0], _mm512_maskz_srli_epi64(1, lowest, LIMB_BITS));
    sums->once[V - 1] = add(sums->once[V - 1], one_lane_down(lowest));
}

/* T becomes (T + q * inverse * N) / 2^52 with q = T mod 2^52: inverse * N is -1 mod 2^52, so q needs no product. */
INLINE void reduce_row(int V, const vec *folded, struct sums *sums) {
    const vec lowest = take_lowest(V, sums);
    const vec q = first_lane(lowest); /* products take the low 52 bits of it */
    give_back(V, lowest, sums);
    add_product(V, 0, q, folded, reduction_of(V, sums));
}

/* T becomes (T + q * N) / 2^52: the last row multiplies with N itself, so that the result is below 3 N. */
INLINE void reduce_last_row(int V, const vec *modulus, vec inverse, struct sums *sums) {
    vec lowest = take_lowest(V, sums), *sum = reduction_of(V, sums);
    const vec q = first_lane(add_low(zero(), lowest, inverse));
    lowest = add_low(lowest, q, modulus[0]);
    UNROLL for (int v = 1; v < V; v++) sum[v - 1] = add_low(sum[v - 1], q, modulus[v]);
    UNROLL for (int v = 0; v < V; v++) sum[v] = add_high(sum[v], q, modulus[v]);
    give_back(V, lowest, sums);
}

INLINE void add_up(int V, vec *result, const struct sums *sums) {
    UNROLL for (int v = 0; v < V; v++) {
        result[v] = add(sums->once[v], add(sums->twice[v], sums->twice[v]));
        if (V <= SPLIT_VECTORS_MAX) result[v] = add(result[v], sums->reduction[v]);
    }
}

/* Every carry moves one limb up; returns whether a limb has more than 52 bits again. */
INLINE int carry_once(int V, vec *limbs) {
    const vec mask = _mm512_set1_epi64(LIMB_MASK);
    vec carries[VECTORS_MAX], any = zero();
    UNROLL for (int v = 0; v < V; v++) {
        carries[v] = _mm512_srli_epi64(limbs[v], LIMB_BITS);
        limbs[v] = _mm512_and_si512(limbs[v], mask);
    }
    limbs[0] = add(limbs[0], one_lane_up(carries[V - 1]));
    UNROLL for (int v = 1; v < V; v++) limbs[v] = add(limbs[v], carries[v - 1]);
    UNROLL for (int v = 0; v < V; v++) any = _mm512_or_si512(any, limbs[v]);
    return _mm512_cmpgt_epu64_mask(any, mask) != 0;
}

#ifdef VAULT_KERNEL_TESTED
int ifma_passes_max; /* of any carry so far */
#endif

/* One pass but for one squaring in some 10^12 of random numbers; a long carry takes a pass for each limb it crosses. */
INLINE int carry(int V, vec *limbs) {
    int passes = 1;
    while (__builtin_expect(carry_once(V, limbs), 0)) passes++;
#ifdef VAULT_KERNEL_TESTED
    if (passes > ifma_passes_max) ifma_passes_max = passes;
#endif
    return passes;
}

/* a becomes a * b / R, or a * a / R where `squaring`; b is in memory, one limb of it is needed at a time. */
INLINE void montgomery(int V, int squaring, const struct vault_modulus *modulus, const vec *folded, vec inverse,
                       const uint64_t *b, vec *a) {
    const int last = (int)modulus->limbs - 1, lanes = last / V, rest = last % V;
    struct sums sums;
    vec n[VECTORS_MAX];
    int lane = 0;

    clear(V, sums.once);
    clear(V, sums.twice);
    clear(V, sums.reduction);
#define ADD_ROW(row)                                                 \
    do {                                                             \
        const vec limb = _mm512_set1_epi64((long long)b[LANES * (row) + lane]); \
        if (squaring) add_square(V, row, limb, a, &sums);            \
        else add_product(V, 0, limb, a, sums.once);                  \
    } while (0)
    for (; lane < lanes; lane++) {
        UNROLL for (int row = 0; row < V; row++) {
            ADD_ROW(row);
            reduce_row(V, folded, &sums);
        }
    }
    UNROLL for (int row = 0; row < V; row++) {
        ADD_ROW(row);
        if (row == rest) break;
        reduce_row(V, folded, &sums);
    }
#undef ADD_ROW
    load(V, n, modulus->modulus);
    reduce_last_row(V, n, inverse, &sums);
    add_up(V, a, &sums);
    carry(V, a);
}

INLINE void square(int V, const struct vault_modulus *modulus, uint64_t *value, uint64_t squarings) {
    vec a[VECTORS_MAX], folded[VECTORS_MAX];
    const vec inverse = _mm512_set1_epi64((long long)modulus->inverse);
    load(V, a, value);
    load(V, folded, modulus->folded);
    for (; squarings > 0; squarings--) {
        uint64_t limbs[LANES * VECTORS_MAX] __attribute__((aligned(64)));
        store(V, limbs, a);
        montgomery(V, 1, modulus, folded, inverse, limbs, a);
    }
    store(V, value, a);
}

INLINE void multiply(int V, const struct vault_modulus *modulus, uint64_t *value, const uint64_t *factor) {
    vec a[VECTORS_MAX], folded[VECTORS_MAX];
    load(V, a, value);
    load(V, folded, modulus->folded);
    montgomery(V, 0, modulus, folded, _mm512_set1_epi64((long long)modulus->inverse), factor, a);
    store(V, value, a);
}

INLINE int carry_in_memory(int V, uint64_t *limbs) {
    vec a[VECTORS_MAX];
    load(V, a, limbs);
    const int passes = carry(V, a);
    store(V, limbs, a);
    return passes;
}

/* Each number of vectors has code of its own, unrolled. */
#define EACH_SIZE(DO) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10)
#define FUNCTIONS(V)                                                                                            \
    IFMA static void square_##V(const struct vault_modulus *m, uint64_t *a, uint64_t t) { square(V, m, a, t); } \
    IFMA static void multiply_##V(const struct vault_modulus *m, uint64_t *a, const uint64_t *b) {              \
        multiply(V, m, a, b);                                                                                   \
    }                                                                                                           \
    IFMA static int carry_##V(uint64_t *a) { return carry_in_memory(V, a); }
EACH_SIZE(FUNCTIONS)

#define ROW(V) [V] = {square_##V, multiply_##V, carry_##V},
static const struct {
    void (*square)(const struct vault_modulus *, uint64_t *, uint64_t);
    void (*multiply)(const struct vault_modulus *, uint64_t *, const uint64_t *);
    int (*carry)(uint64_t *);
} by_vectors[VECTORS_MAX + 1] = {EACH_SIZE(ROW)};

void ifma_square(const struct vault_modulus *modulus, uint64_t *value, uint64_t squarings) {
    by_vectors[modulus->vectors].square(modulus, value, squarings);
}

void ifma_multiply(const struct vault_modulus *modulus, uint64_t *value, const uint64_t *factor) {
    by_vectors[modulus->vectors].multiply(modulus, value, factor);
}

int ifma_carry(uint64_t *limbs, unsigned vectors) { return by_vectors[vectors].carry(limbs); }

int ifma_supported(void) {
    /* Asks the system too: without its help the wide registers do not survive a change of process. */
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
}

#else /* another processor or compiler: the library is there and says that it is of no use */

void ifma_square(const struct vault_modulus *modulus, uint64_t *value, uint64_t squarings) {
    (void)modulus, (void)value, (void)squarings;
}

void ifma_multiply(const struct vault_modulus *modulus, uint64_t *value, const uint64_t *factor) {
    (void)modulus, (void)value, (void)factor;
}

int ifma_carry(uint64_t *limbs, unsigned vectors) {
    (void)limbs, (void)vectors;
    return 0;
}

int ifma_supported(void) { return 0; }

#endif
