/* Keyed hashes of columns (BLAKE2b). */
#include "native.h"

PyMethodDef bearing_methods[] = {{NULL, NULL, 0, NULL}};
