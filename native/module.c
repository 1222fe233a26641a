/* The module vetset._native: the kernels of the other files under one name. */
#include "native.h"

static PyMethodDef *const TABLES[] = {
    digest_methods, membership_methods, bearing_methods, url_methods,
    pdq_methods,    hamming_methods,    tar_methods,     parquet_methods,
};

static int add_all(PyObject *module) {
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++)
        if (PyModule_AddFunctions(module, TABLES[i]) < 0) return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_all}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "vetset._native",
    .m_doc = "The hot kernels in C; vetset.kernels defines what they must answer.",
    .m_size = 0, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
