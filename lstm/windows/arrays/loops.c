/* The loops of a batch, compiled: its windows looked up and copied. What NumPy does, to the bit, as fast or faster.
 *
 * No Python, no allocation, no state. */

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

/* compiled.py asks for this number: raise both with every change of a function's arguments. */
EXPORT unsigned loops_version(void)
{
    return 1;
}

/* While a window is copied the next one is fetched from memory, line by line: windows lie anywhere, and a processor
 * that foresees only what lies one behind the other would wait for each.
 *
 * Copy `count` windows of `size` bytes, one behind the other. Window k begins at row starts[k], of `row` bytes.
 * Returns 0; or 1, and nothing is copied, if a start is none of the `held` rows at which windows begin. */
EXPORT int gathered(const unsigned char *restrict rows, size_t row, size_t held, const int64_t *restrict starts,
                    size_t count, size_t size, unsigned char *restrict windows)
{
    int outside = 0;
    for (size_t k = 0; k < count; k++) outside |= (uint64_t)starts[k] >= held; /* a negative one is huge */
    if (outside) return 1;
    for (size_t k = 0; k < count; k++, windows += size) {
        const unsigned char *window = rows + (size_t)starts[k] * row;
        const unsigned char *next = k + 1 < count ? rows + (size_t)starts[k + 1] * row : window;
        size_t at = 0;
        for (; at + LINE <= size; at += LINE) {
            FETCH(next + at);
            memcpy(windows + at, window + at, LINE);
        }
        memcpy(windows + at, window + at, size - at);
    }
    return 0;
}

/* Merge lanes by the keys (2i+1)/(2n) of their windows i = 0 ... n-1, then by lane: leave `skipped` windows out, and
 * write lane and index of the `count` that follow. Keys are 64-bit floats, which keeps them apart for n <= 2^25.
 *
 * `next` [lanes] is the window at which each lane goes on. `queue` begins with the `queued` lanes that have one, in
 * order of their next keys, which are those of `keys`; both have room for skipped + count more. A lane's step from
 * one key to the next is 1/n, and lanes have nearly as many windows each: what comes next goes to the queue's end,
 * or close to it. Returns how many there were, those that were left out included. */
EXPORT size_t merged(const int64_t *restrict n, int64_t *restrict next, double *restrict keys, int64_t *restrict queue,
                     size_t queued, size_t skipped, size_t count, int64_t *restrict lanes, int64_t *restrict indices)
{
    size_t head = 0, end = queued;
    for (; head < skipped + count && head < end; head++) {
        const int64_t lane = queue[head];
        const int64_t index = next[lane]++;
        if (head >= skipped) {
            lanes[head - skipped] = lane;
            indices[head - skipped] = index;
        }
        if (index + 1 == n[lane]) continue;
        const double key = (double)(2 * index + 3) / (double)(2 * n[lane]);
        size_t at = end++;
        for (; at > head + 1 && (keys[at - 1] > key || (keys[at - 1] == key && queue[at - 1] > lane)); at--) {
            keys[at] = keys[at - 1];
            queue[at] = queue[at - 1];
        }
        keys[at] = key;
        queue[at] = lane;
    }
    return head;
}

#define LOOK_UP(Number)                                                                                              \
    for (; k < count; k++) {                                                                                         \
        const int64_t lane = lanes[k];                                                                               \
        if ((uint64_t)(indices[k] - first[lane]) >= (uint64_t)size[lane]) break; /* before the first is huge */      \
        const int64_t place = origin[lane] + indices[k];                                                             \
        row[k] = ((const Number *)rows)[place];                                                                      \
        one[k] = ((const Number *)series)[place];                                                                    \
        start[k] = ((const Number *)starts)[place];                                                                  \
    }

/* Look up windows by their indices in their lanes, up to the first one that is not among the size[lane] windows from
 * first[lane] on that are known. Window i of a lane is known at place origin[lane] + i of `rows`, `series`, and
 * `starts`, which are of 64 bits if `wide`, else of 32. Returns how many were found. */
EXPORT size_t looked_up(const int64_t *restrict lanes, const int64_t *restrict indices, size_t count,
                        const int64_t *restrict first, const int64_t *restrict size, const int64_t *restrict origin,
                        const void *restrict rows, const void *restrict series, const void *restrict starts, int wide,
                        int64_t *restrict row, int64_t *restrict one, int64_t *restrict start)
{
    size_t k = 0;
    if (wide) {
        LOOK_UP(int64_t)
    } else {
        LOOK_UP(int32_t)
    }
    return k;
}
