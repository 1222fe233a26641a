/* Headers of a tar file in memory, walked and checked. */
#include "native.h"

PyMethodDef tar_methods[] = {{NULL, NULL, 0, NULL}};
