//! OTLP in, processors, OTLP out, driven by the official collector's configuration file.
