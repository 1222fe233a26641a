# What the native kernels offer, file by file of native/; absent where no compiler was at hand.
