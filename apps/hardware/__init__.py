"""On a Trainium host: run a kernel on the chip under the vendor's profiler, and pack what a comparison needs."""
