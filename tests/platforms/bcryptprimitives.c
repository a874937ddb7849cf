/* The one function of bcryptprimitives.dll that Rust's standard library calls. Wine has that library from version 9.0 on; Debian 12 has 8.0. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T size) {
    return RtlGenRandom(buffer, (ULONG)size);
}
