/* Exact membership among sorted keys behind the prefilter. */
#include "native.h"

PyMethodDef membership_methods[] = {{NULL, NULL, 0, NULL}};
