/* Digests of many strings and of many buffers at once (md5, sha1, sha256) in SIMD lanes. */
#include "native.h"

PyMethodDef digest_methods[] = {{NULL, NULL, 0, NULL}};
