/* What the files of the native kernels share: buffers taken from Python and checked, and their method tables.
 *
 * Rules that hold in every file here: plain C11 with GNU vector extensions and no dependency; the Python kernels define
 * what is right (src/vetset/kernels), the C only hurries; every buffer's bounds are checked before the GIL is released
 * and never trusted afterwards; no allocation is unchecked; nothing is printed; no value of a row goes into an error's
 * message; instructions beyond the baseline are chosen at run time, by __builtin_cpu_supports.
 */
#ifndef VETSET_NATIVE_H
#define VETSET_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One table a file; module.c joins them. Each ends with an empty entry. */
extern PyMethodDef digest_methods[];
extern PyMethodDef membership_methods[];
extern PyMethodDef bearing_methods[];
extern PyMethodDef url_methods[];
extern PyMethodDef pdq_methods[];
extern PyMethodDef hamming_methods[];
extern PyMethodDef tar_methods[];
extern PyMethodDef samples_methods[];
extern PyMethodDef parquet_methods[];
extern PyMethodDef thrift_methods[];

#endif
