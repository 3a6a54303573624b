// SPDX-License-Identifier: MIT OR Apache-2.0
// What kernels translated to Metal's language need of it, as C++ for clang: vectors as extended vectors, masks of booleans as
// vectors of 0 and -1. Calls of constructors are renamed to make_ by tests/fast_math.rs, which includes this before a kernel and
// calls run_all after it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

#include <sys/mman.h>
#include <unistd.h>

#define constant const
#define device
#define kernel static inline

#define VECTOR(type, n) __attribute__((ext_vector_type(n))) type

namespace metal {
typedef unsigned int uint;
typedef VECTOR(uint, 2) uint2;
typedef VECTOR(uint, 3) uint3;
typedef VECTOR(uint, 4) uint4;
typedef VECTOR(int, 2) int2;
typedef VECTOR(int, 4) int4;
typedef VECTOR(float, 4) float4;
typedef int2 bool2;
typedef int4 bool4;

inline uint2 make_uint2(uint x) { return x; }
inline uint2 make_uint2(uint x, uint y) { return uint2{x, y}; }
inline uint4 make_uint4(uint x) { return x; }
inline uint4 make_uint4(uint x, uint y, uint z, uint w) { return uint4{x, y, z, w}; }
inline uint4 make_uint4(uint2 xy, uint2 zw) { return uint4{xy.x, xy.y, zw.x, zw.y}; }
inline uint4 make_uint4(uint x, uint3 yzw) { return uint4{x, yzw.x, yzw.y, yzw.z}; }
inline uint4 make_uint4(uint3 xyz, uint w) { return uint4{xyz.x, xyz.y, xyz.z, w}; }
inline int4 make_int4(int x) { return x; }
inline float4 make_float4(float x) { return x; }
inline int of(bool x) { return x ? -1 : 0; }
inline bool4 make_bool4(bool x) { return of(x); }
inline bool4 make_bool4(bool x, bool y, bool z, bool w) { return bool4{of(x), of(y), of(z), of(w)}; }
inline bool4 make_bool4(bool2 xy, bool2 zw) { return bool4{xy.x, xy.y, zw.x, zw.y}; }

inline bool all(int2 x) { return (x.x & x.y) != 0; }
inline bool any(int2 x) { return (x.x | x.y) != 0; }
inline bool any(int4 x) { return (x.x | x.y | x.z | x.w) != 0; }
template <class V> V select(V a, V b, bool is_b) { return is_b ? b : a; }
template <class V> V select(V a, V b, bool4 is_b) { return is_b ? b : a; }
template <class V> V min(V a, V b) { return __builtin_elementwise_min(a, b); }
template <class V> V max(V a, V b) { return __builtin_elementwise_max(a, b); }
template <class V> V clamp(V x, V least, V most) { return min(max(x, least), most); }
inline float4 abs(float4 x) { return __builtin_elementwise_abs(x); }
inline float4 saturate(float4 x) { return clamp(x, make_float4(0), make_float4(1)); }
inline uint clz(uint x) { return x == 0 ? 32 : __builtin_clz(x); }
}

using metal::uint;
using metal::uint2;

template <class To, class From> To as_type(From x) { return __builtin_bit_cast(To, x); }

// Subnormal operands and results become zeros, as on most GPUs by default.
static void flush_subnormals() {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#elif defined(__aarch64__)
    uint64_t control;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    asm volatile("msr fpcr, %0" : : "r"(control | 1 << 24));
#endif
    volatile float subnormal = __builtin_bit_cast(float, 1u);
    if (__builtin_bit_cast(unsigned, subnormal * 4) != 0) {
        fprintf(stderr, "subnormals are not flushed\n");
        exit(2);
    }
}

// Memory that ends, but for what its alignment leaves, where the process may go no further, and not for a long way.
static void* guarded(size_t bytes, size_t alignment) {
    size_t page = sysconf(_SC_PAGESIZE);
    size_t guard = 1 << 26;
    size_t used = (bytes + alignment - 1) / alignment * alignment;
    size_t whole = (used + page - 1) / page * page;
    char* start = (char*)mmap(nullptr, whole + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start, whole, PROT_READ | PROT_WRITE) != 0) {
        perror("a guarded buffer");
        exit(2);
    }
    return start + whole - used;
}

static void read_exactly(void* to, size_t bytes) {
    if (fread(to, 1, bytes, stdin) != bytes) {
        fprintf(stderr, "the input is too short\n");
        exit(2);
    }
}

// sized: the slots of buffers whose lengths the last slot has. Standard input: workgroups in x and y, the alignment of buffers;
// then for each slot the length of its buffer in bytes, and its bytes. Standard output: the buffers as they are afterwards.
template <int SLOTS, int INVOCATIONS, class Kernel> int run_all(std::initializer_list<int> sized, Kernel invocation) {
    uint workgroups[2];
    read_exactly(workgroups, sizeof workgroups);
    uint alignment;
    read_exactly(&alignment, sizeof alignment);
    uint bytes[SLOTS];
    void* buffers[SLOTS];
    for (int slot = 0; slot < SLOTS; slot++) {
        read_exactly(&bytes[slot], 4);
        buffers[slot] = guarded(bytes[slot], alignment);
        read_exactly(buffers[slot], bytes[slot]);
    }
    uint lengths[SLOTS];
    uint count = 0;
    for (int slot : sized) {
        lengths[count++] = bytes[slot];
    }
    buffers[SLOTS - 1] = lengths;
    flush_subnormals();
    metal::uint3 groups = {workgroups[0], workgroups[1], 1};
    for (uint y = 0; y < groups.y; y++) {
        for (uint x = 0; x < groups.x; x++) {
            for (uint local = 0; local < INVOCATIONS; local++) {
                invocation(buffers, metal::uint3{x, y, 0}, groups, local);
            }
        }
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        fwrite(buffers[slot], 1, bytes[slot], stdout);
    }
    return 0;
}
