"""Which training settings decide the training images. Importing this loads no torch."""

AUGMENTATION = (
    *("imgsz", "fraction", "classes", "single_cls", "augmentations"),
    *("hsv_h", "hsv_s", "hsv_v", "bgr", "flipud", "fliplr"),
    *("degrees", "translate", "scale", "shear", "perspective"),
    *("mosaic", "mixup", "cutmix", "copy_paste", "copy_paste_mode"),
)
"""By Ultralytics' names; `close_mosaic` decides as well, but from one epoch to the next."""
