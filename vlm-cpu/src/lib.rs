//! vlm-cpu
