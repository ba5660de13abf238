/* The loops over a chunk's numbers, compiled: what plain.py does with NumPy, to the bit, many times as fast.
 *
 * Integer arithmetic alone. No Python, no allocation, no state: compiled.py passes buffers whose sizes it has
 * checked, so that a hostile chunk cannot make a loop leave them. Buffers may lie anywhere: words are read and
 * written by memcpy, which compilers turn into one move. Little-endian hosts only (compiled.py sees to that).
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* compiled.py asks for this number: raise both with every change of a function's arguments. */
EXPORT unsigned words_version(void)
{
    return 5;
}

static inline unsigned length_of(uint64_t value)
{
#if defined(__GNUC__)
    return value ? 64u - (unsigned)__builtin_clzll(value) : 0u;
#else
    unsigned length = 0;
    for (; value; value >>= 1) length++;
    return length;
#endif
}

/* Up to 16 bits: the exponent of the same number as a float, which compilers do for many numbers at once. */
static inline unsigned short_length_of(uint32_t value)
{
    const float number = (float)(int32_t)(2 * value + 1); /* never 0 */
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return (bits >> 23) - 127u;
}

/* Up to 32 bits, likewise: halved to be a signed number, its second bit cleared so that nothing rounds it up. */
static inline unsigned word_length_of(uint32_t value)
{
    const uint32_t half = value >> 1;
    const float number = (float)(int32_t)(half & ~(half >> 1)) + 0.5f; /* never 0 */
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return (bits >> 23) - 126u + (value != 0);
}

static size_t packed_size(unsigned bits, size_t count)
{
    return (bits * count + 7) / 8;
}

/* Numbers of 1 to 7 bits one behind the other, the highest bit first: eight of them are `bits` bytes. */
static void pack_eight(const unsigned char *values, unsigned bits, unsigned char *packed, unsigned bytes)
{
    uint64_t joined = 0;
    for (unsigned at = 0; at < 8; at++) joined = (joined << bits) | values[at];
    for (unsigned at = 0; at < bytes; at++) packed[at] = (unsigned char)(joined >> (8 * (bits - 1 - at)));
}

static void unpack_eight(const unsigned char *packed, unsigned bits, unsigned char *values, unsigned bytes)
{
    uint64_t joined = 0;
    for (unsigned at = 0; at < bytes; at++) joined |= (uint64_t)packed[at] << (8 * (bits - 1 - at));
    for (unsigned at = 0; at < 8; at++)
        values[at] = (unsigned char)((joined >> (bits * (7 - at))) & ((1u << bits) - 1));
}

/* Whole groups of eight, for one number of bits that the compiler knows: the values lie `stride` bytes apart. */
static inline void pack_run(const unsigned char *values, size_t stride, size_t eights, const unsigned bits,
                            unsigned char *packed)
{
    for (; eights; eights--, values += 8 * stride, packed += bits) {
        uint64_t joined = 0;
        for (unsigned at = 0; at < 8; at++) joined = (joined << bits) | (values[at * stride] & ((1u << bits) - 1));
        for (unsigned at = 0; at < bits; at++) packed[at] = (unsigned char)(joined >> (8 * (bits - 1 - at)));
    }
}

/* Inverse of pack_run; each value gets a 1 above its bits. */
static inline void unpack_run(const unsigned char *packed, size_t eights, const unsigned bits,
                              unsigned char *values, size_t stride)
{
    for (; eights; eights--, values += 8 * stride, packed += bits) {
        uint64_t joined = 0;
        for (unsigned at = 0; at < bits; at++) joined = (joined << 8) | packed[at];
        for (unsigned at = 0; at < 8; at++)
            values[at * stride] = (unsigned char)(((joined >> (bits * (7 - at))) & ((1u << bits) - 1)) | 1u << bits);
    }
}

static void starts(const uint64_t *counts, uint64_t *next)
{
    uint64_t begin = 0;
    for (unsigned value = 0; value < 256; value++) {
        next[value] = begin;
        begin += counts[value];
    }
}

#define OF_WIDTH(W, WORD)                                                                                              \
    static inline WORD ordered_##W(WORD bits, int floats)                                                              \
    {                                                                                                                  \
        const WORD top = (WORD)((WORD)1 << (8 * W - 1));                                                               \
        if (!floats) return bits;                                                                                      \
        return (WORD)(bits ^ (WORD)((WORD)(0 - (bits >> (8 * W - 1))) | top));                                         \
    }                                                                                                                  \
                                                                                                                       \
    static inline WORD unordered_##W(WORD value, int floats)                                                           \
    {                                                                                                                  \
        const WORD top = (WORD)((WORD)1 << (8 * W - 1));                                                               \
        if (!floats) return value;                                                                                     \
        return (WORD)(value ^ (WORD)((WORD)((value >> (8 * W - 1)) - 1) | top));                                       \
    }                                                                                                                  \
                                                                                                                       \
    EXPORT void residuals_##W(const unsigned char *restrict raw, const unsigned char *restrict prediction,             \
                              unsigned char *restrict residuals, unsigned char *restrict lengths, size_t count, int floats)\
    {                                                                                                                  \
        for (size_t at = 0; at < count; at++) {                                                                        \
            WORD value, expected, difference;                                                                          \
            memcpy(&value, raw + at * W, W);                                                                           \
            memcpy(&expected, prediction + at * W, W);                                                                 \
            difference = (WORD)(ordered_##W(value, floats) - ordered_##W(expected, floats));                           \
            value = (WORD)((WORD)(difference << 1) ^ (WORD)(0 - (difference >> (8 * W - 1))));                         \
            memcpy(residuals + at * W, &value, W);                                                                     \
            lengths[at] = (unsigned char)(W <= 2   ? short_length_of((uint32_t)value)                                   \
                                          : W == 4 ? word_length_of((uint32_t)value)                                   \
                                                   : length_of(value));                                                \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    EXPORT void restored_##W(const unsigned char *restrict residuals, const unsigned char *restrict prediction,        \
                             unsigned char *restrict raw, size_t count, int floats)                                    \
    {                                                                                                                  \
        for (size_t at = 0; at < count; at++) {                                                                        \
            WORD residual, expected, value;                                                                            \
            memcpy(&residual, residuals + at * W, W);                                                                  \
            memcpy(&expected, prediction + at * W, W);                                                                 \
            value = (WORD)((WORD)(residual >> 1) ^ (WORD)(0 - (residual & 1)));                                        \
            value = unordered_##W((WORD)(ordered_##W(expected, floats) + value), floats);                              \
            memcpy(raw + at * W, &value, W);                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* `sorted`: room for all residuals. Sorted by length first, so that what follows runs through memory. */          \
    EXPORT void low_bits_##W(const unsigned char *restrict residuals, const unsigned char *restrict lengths, size_t count,\
                             const uint64_t *counts, unsigned char *restrict sorted, unsigned char *restrict stored)   \
    {                                                                                                                  \
        uint64_t next[256];                                                                                            \
        starts(counts, next);                                                                                          \
        for (size_t at = 0; at < count; at++) memcpy(sorted + next[lengths[at]]++ * W, residuals + at * W, W);         \
        sorted += (counts[0] + counts[1]) * W;                                                                         \
        for (unsigned length = 2; length <= 8 * W; length++) {                                                         \
            const size_t many = (size_t)counts[length];                                                                \
            const unsigned whole = (length - 1) / 8, bits = (length - 1) % 8;                                          \
            for (unsigned plane = 0; plane < whole; plane++, stored += many)                                           \
                for (size_t at = 0; at < many; at++) stored[at] = sorted[at * W + plane];                              \
const size_t eights = bits ? many / 8 : 0;                                                                 \
            switch (bits) {                                                                                            \
            case 1: pack_run(sorted + whole, W, eights, 1, stored); break;                                             \
            case 2: pack_run(sorted + whole, W, eights, 2, stored); break;                                             \
            case 3: pack_run(sorted + whole, W, eights, 3, stored); break;                                             \
            case 4: pack_run(sorted + whole, W, eights, 4, stored); break;                                             \
            case 5: pack_run(sorted + whole, W, eights, 5, stored); break;                                             \
            case 6: pack_run(sorted + whole, W, eights, 6, stored); break;                                             \
            case 7: pack_run(sorted + whole, W, eights, 7, stored); break;                                             \
            }                                                                                                          \
            for (size_t at = 8 * eights; bits && at < many; at += 8) {                                                 \
                const unsigned few = (unsigned)(many - at);                                                            \
                unsigned char values[8] = {0};                                                                         \
                for (unsigned each = 0; each < few; each++)                                                            \
                    values[each] = sorted[(at + each) * W + whole] & ((1u << bits) - 1);                               \
                pack_eight(values, bits, stored + at / 8 * bits, (unsigned)packed_size(bits, few));                    \
            }                                                                                                          \
            stored += packed_size(bits, many);                                                                         \
            sorted += many * W;                                                                                        \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* 0: done. 1: bits are set behind the last residual of some length. `sorted`: room for all residuals. */          \
    EXPORT int from_low_bits_##W(const unsigned char *restrict stored, const unsigned char *restrict lengths, size_t count,\
                                 const uint64_t *counts, unsigned char *restrict sorted, unsigned char *restrict residuals)\
    {                                                                                                                  \
        uint64_t next[256];                                                                                            \
        unsigned char *of_length = sorted + counts[0] * W;                                                             \
        memset(sorted, 0, count * W);                                                                                  \
        for (size_t at = 0; at < counts[1]; at++) of_length[at * W] = 1;                                               \
        of_length += counts[1] * W;                                                                                    \
        for (unsigned length = 2; length <= 8 * W; length++) {                                                         \
            const size_t many = (size_t)counts[length];                                                                \
            const unsigned whole = (length - 1) / 8, bits = (length - 1) % 8;                                          \
            for (unsigned plane = 0; plane < whole; plane++, stored += many)                                           \
                for (size_t at = 0; at < many; at++) of_length[at * W + plane] = stored[at];                           \
const size_t eights = bits ? many / 8 : 0;                                                                 \
            switch (bits) {                                                                                            \
            case 0: for (size_t at = 0; at < many; at++) of_length[at * W + whole] = 1; break;                         \
            case 1: unpack_run(stored, eights, 1, of_length + whole, W); break;                                        \
            case 2: unpack_run(stored, eights, 2, of_length + whole, W); break;                                        \
            case 3: unpack_run(stored, eights, 3, of_length + whole, W); break;                                        \
            case 4: unpack_run(stored, eights, 4, of_length + whole, W); break;                                        \
            case 5: unpack_run(stored, eights, 5, of_length + whole, W); break;                                        \
            case 6: unpack_run(stored, eights, 6, of_length + whole, W); break;                                        \
            case 7: unpack_run(stored, eights, 7, of_length + whole, W); break;                                        \
            }                                                                                                          \
            for (size_t at = 8 * eights; bits && at < many; at += 8) {                                                 \
                const unsigned few = (unsigned)(many - at);                                                            \
                unsigned char values[8];                                                                               \
                unpack_eight(stored + at / 8 * bits, bits, values, (unsigned)packed_size(bits, few));                  \
                for (unsigned each = 0; each < few; each++)                                                            \
                    of_length[(at + each) * W + whole] = (unsigned char)(values[each] | 1u << bits);                   \
                for (unsigned each = few; each < 8; each++)                                                            \
                    if (values[each]) return 1;                                                                        \
            }                                                                                                          \
            stored += packed_size(bits, many);                                                                         \
            of_length += many * W;                                                                                     \
        }                                                                                                              \
        starts(counts, next);                                                                                          \
        for (size_t at = 0; at < count; at++) memcpy(residuals + at * W, sorted + next[lengths[at]]++ * W, W);         \
        return 0;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    EXPORT void exponents_##W(const unsigned char *restrict raw, unsigned char *restrict exponents, size_t count,      \
                              int shift, int mask)                                                                     \
    {                                                                                                                  \
        for (size_t at = 0; at < count; at++) {                                                                        \
            WORD value;                                                                                                \
            memcpy(&value, raw + at * W, W);                                                                           \
            exponents[at] = (unsigned char)((value >> shift) & (WORD)mask);                                            \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    EXPORT void planes_##W(const unsigned char *restrict raw, unsigned char *restrict planes, size_t count)            \
    {                                                                                                                  \
        for (size_t at = 0; at < count; at++)                                                                          \
            for (unsigned plane = 0; plane < W; plane++) planes[plane * count + at] = raw[at * W + plane];             \
    }                                                                                                                  \
                                                                                                                       \
    EXPORT void from_planes_##W(const unsigned char *restrict planes, unsigned char *restrict raw, size_t count)       \
    {                                                                                                                  \
        for (size_t at = 0; at < count; at++)                                                                          \
            for (unsigned plane = 0; plane < W; plane++) raw[at * W + plane] = planes[plane * count + at];             \
    }                                                                                                                  \
                                                                                                                       \
    /* Numbers turned left by a bit, so that the sign comes last: their highest bytes, the other ones in planes. */    \
    EXPORT void split_##W(const unsigned char *restrict raw, unsigned char *restrict highest,                          \
                          unsigned char *restrict planes, size_t count)                                                \
    {                                                                                                                  \
        for (size_t at = 0; at < count; at++) {                                                                        \
            const unsigned char *number = raw + at * W;                                                                \
            for (unsigned plane = 0; plane + 1 < W; plane++)                                                           \
                planes[plane * count + at] =                                                                           \
                    (unsigned char)(number[plane] << 1 | number[(plane + W - 1) % W] >> 7);                            \
            highest[at] = (unsigned char)(number[W - 1] << 1 | number[(2 * W - 2) % W] >> 7);                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* Inverse of split. */                                                                                            \
    EXPORT void from_split_##W(const unsigned char *restrict highest, const unsigned char *restrict planes,            \
                               unsigned char *restrict raw, size_t count)                                              \
    {                                                                                                                  \
        for (size_t at = 0; at < count; at++) {                                                                        \
            for (unsigned plane = 0; plane < W; plane++) {                                                             \
                const unsigned char low = plane == W - 1 ? highest[at] : planes[plane * count + at];                   \
                const unsigned next = (plane + 1) % W;                                                                 \
                const unsigned char high = next == W - 1 ? highest[at] : planes[next * count + at];                    \
                raw[at * W + plane] = (unsigned char)(low >> 1 | high << 7);                                           \
            }                                                                                                          \
        }                                                                                                              \
    }

OF_WIDTH(1, uint8_t)
OF_WIDTH(2, uint16_t)
OF_WIDTH(4, uint32_t)
OF_WIDTH(8, uint64_t)

/* bfloat16 is the upper half of a float32: wider exactly, narrower rounded to nearest even. */
EXPORT void widened(const unsigned char *restrict halves, unsigned char *restrict wide, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        uint16_t half;
        uint32_t value;
        memcpy(&half, halves + 2 * at, 2);
        value = (uint32_t)half << 16;
        memcpy(wide + 4 * at, &value, 4);
    }
}

EXPORT void narrowed(const unsigned char *restrict wide, unsigned char *restrict halves, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        uint16_t half;
        uint32_t value;
        memcpy(&value, wide + 4 * at, 4);
        half = (uint16_t)((value + 0x7FFFu + ((value >> 16) & 1u)) >> 16);
        memcpy(halves + 2 * at, &half, 2);
    }
}

/* How many bytes have each value. Eight tables in turn: one counter is slow to be raised twice in a row. */
EXPORT void histogram(const unsigned char *values, size_t count, uint64_t *counts)
{
    uint64_t tables[8][256] = {{0}};
    size_t at = 0;
    for (; at + 8 <= count; at += 8)
        for (unsigned table = 0; table < 8; table++) tables[table][values[at + table]]++;
    for (; at < count; at++) tables[0][values[at]]++;
    for (unsigned value = 0; value < 256; value++) {
        counts[value] = 0;
        for (unsigned table = 0; table < 8; table++) counts[value] += tables[table][value];
    }
}

/* Bytes sorted by their contexts; those of equal context stay in order. `counts`: of the contexts. */
EXPORT void by_context(const unsigned char *restrict symbols, const unsigned char *restrict contexts, size_t count,
                       const uint64_t *counts, unsigned char *restrict sorted)
{
    uint64_t next[256];
    starts(counts, next);
    for (size_t at = 0; at < count; at++) sorted[next[contexts[at]]++] = symbols[at];
}

/* Inverse of by_context. */
EXPORT void from_context(const unsigned char *restrict sorted, const unsigned char *restrict contexts, size_t count,
                         const uint64_t *counts, unsigned char *restrict symbols)
{
    uint64_t next[256];
    starts(counts, next);
    for (size_t at = 0; at < count; at++) symbols[at] = sorted[next[contexts[at]]++];
}
