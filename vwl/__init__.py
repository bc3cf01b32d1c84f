"From image tags to pixel masks: visual words and hybrid pooling for weakly supervised segmentation."
__version__ = "0.1.0"
