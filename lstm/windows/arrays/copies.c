/* Windows copied out of rows, compiled: what NumPy's indexing does, to the bit, in five sixths of its time.
 *
 * No Python, no allocation, no state. While a window is copied the next one is fetched from memory: windows lie
 * anywhere, and a processor, which foresees only what lies one behind the other, would wait for each.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address) ((void)(address))
#endif

#define LINE 64u
#define MOST_AHEAD 4096u /* bytes: of a long window the processor itself fetches the rest */

/* Volatile as compilers copy so few bytes in line if they know how many, and more slowly than the C library. */
static const volatile size_t AT_ONCE = 8 * LINE;

/* compiled.py asks for this number: raise both with every change of a function's arguments. */
EXPORT unsigned copies_version(void)
{
    return 1;
}

/* Copy `count` windows of `size` bytes, one behind the other. Window k begins at row starts[k], of `row` bytes.
 * Returns 0; or 1, and nothing is copied, if a start is none of the `held` rows at which windows begin. */
EXPORT int gathered(const unsigned char *restrict rows, size_t row, size_t held, const int64_t *restrict starts,
                    size_t count, size_t size, unsigned char *restrict windows)
{
    const size_t at_once = AT_ONCE;
    int outside = 0;
    for (size_t k = 0; k < count; k++) outside |= (uint64_t)starts[k] >= held; /* a negative one is huge */
    if (outside) return 1;
    for (size_t k = 0; k < count; k++, windows += size) {
        const unsigned char *window = rows + (size_t)starts[k] * row;
        const unsigned char *next = k + 1 < count ? rows + (size_t)starts[k + 1] * row : window;
        for (size_t at = 0; at < size; at += at_once) {
            const size_t part = size - at < at_once ? size - at : at_once;
            if (at < MOST_AHEAD)
                for (size_t line = 0; line < part; line += LINE) FETCH(next + at + line);
            memcpy(windows + at, window + at, part);
        }
    }
    return 0;
}
