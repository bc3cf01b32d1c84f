"From image tags to pixel masks: visual words and hybrid pooling for weakly supervised segmentation."
__version__ = "0.2.0"
_PARTS = {"HybridPool2d": "vwl.pooling", "VisualWords": "vwl.visual_words", "Segmenter": "vwl.apps.segmenter"}
__all__ = [*_PARTS]


def __getattr__(name):
    "The parts for other programs; torch is imported with the first of them."
    if name in _PARTS:
        from importlib import import_module

        return getattr(import_module(_PARTS[name]), name)
    raise AttributeError(f"module 'vwl' has no attribute {name!r}")
