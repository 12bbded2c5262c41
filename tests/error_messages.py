"""The wording of every error, by its code; {} stands for what is filled in.

A message says what was expected, what came, and what to do. It is changed in the code and here.
"""

from __future__ import annotations

MESSAGES: dict[str, tuple[str, ...]] = {
    "backend-import": ("Expected {} to import, got: {}; reinstall it with: {}",),
    "backend-missing": ("Expected the runtime {} for backend {}, which is not installed; {}",),
    "backend-none": ("Expected a runtime for .{} files, got none installed; {}",),
    "backend-threads": ("Expected 1 to {} threads, got {}.",),
    "backend-unknown": ("Expected a backend of {}, got {}.",),
    "bundle-comment": (
        "Expected one line of at most {} bytes as the comment, got {}; shorten it.",
    ),
    "bundle-downgrade": (
        "Expected a bundle that is not older than generation {}, which was signed {}, got one that "
        "was signed {}; to install it all the same: --allow-downgrade",
    ),
    "bundle-empty": ("Expected model files in {}, got none; export again.",),
    "bundle-examples": (
        "Expected examples in {} as the manifest states, got something else ({}); export the "
        "bundle again.",
    ),
    "bundle-file-missing": (
        "Expected the file {} that {} lists, got none; copy the bundle again.",
        "Expected the model file {}, got: {}; copy it again.",
    ),
    "bundle-generation": (
        "Expected one of the generations {} of the store {}, got {}; they are listed by: "
        "edge-mnist installed",
    ),
    "bundle-generation-oldest": (
        "Expected a generation before {} in the store {}, got none: it is the oldest; install "
        "another bundle with: edge-mnist install BUNDLE",
    ),
    "bundle-hash": (
        "Expected {} to have the SHA-256 of its manifest, got other content; copy the bundle "
        "again.",
    ),
    "bundle-incomplete": (
        "Expected a whole bundle to sign, got {} with {}: {}; copy or export it again.",
    ),
    "bundle-key": (
        "Expected a bundle signed by {}, got {}, signed by the key {}, which you do not "
        "trust; to trust it, put its .pub file into {}, or name it with --trust",
    ),
    "bundle-key-password": (
        "Expected the password of the key {}, got {}; enter it again, or set "
        "EDGE_MNIST_KEY_PASSWORD.",
        "Expected the same password twice, got two; try again.",
        "Expected a password for the key {}, got no terminal to ask for it; set {}.",
    ),
    "bundle-latest": (
        "Expected a bundle in {}/*/ for --latest, got none; make one with: edge-mnist "
        "quickstart, or leave out --latest for the model that ships with edge-mnist.",
    ),
    "bundle-manifest": (
        "Expected {} to follow schema {}, got a wrong or missing field ({}); export the bundle "
        "again.",
        "Expected JSON in {}, got something else ({}); copy the bundle again.",
        "Expected the files of {} in its manifest, got a wrong or missing field ({}); export "
        "the bundle again.",
    ),
    "bundle-missing": (
        "Expected a bundle (a folder with {}), got {}; make one with: edge-mnist export --int8",
        "Expected a bundle folder, a .tflite or an .onnx file, or one of the package ({}), got "
        "{}, which does not exist; make one with: edge-mnist export --int8",
        "Expected a bundle (a folder with {}), got {}; give the bundle in it: {}",
    ),
    "bundle-no-manifest": (
        "Expected a bundle to install, got the file {}, which has no manifest; write a bundle of "
        "it with: edge-mnist bundle {} --data PATH",
    ),
    "bundle-not-installed": (
        "Expected an installed bundle in the store {}, got no link {}; install one with: "
        "edge-mnist install BUNDLE",
        "Expected an installed bundle in the store {}, got: {}; install one with: edge-mnist "
        "install BUNDLE, or name another store with {}.",
    ),
    "bundle-path": ("Expected the path of a bundle, a .tflite or an .onnx file, got {} ({}).",),
    "bundle-run-damaged": (
        "Expected an unfinished run that can be resumed in {}, got {}; delete the folder, or "
        "choose another with --out.",
    ),
    "bundle-run-field": (
        "Expected {} as edge-mnist train writes it, got a wrong or missing field ({}); train "
        "again.",
    ),
    "bundle-run-malformed": (
        "Expected {} as edge-mnist train writes it, got a broken or foreign one ({}); train again.",
    ),
    "bundle-run-missing": (
        "Expected a run folder (with run.json), got {}; make one with: edge-mnist train",
        "Expected a finished run in {}/, got none; make one with: edge-mnist train",
    ),
    "bundle-run-unexported": (
        "Expected a bundle in the run {}, got none; make one with: edge-mnist export {}",
    ),
    "bundle-run-unfinished": (
        "Expected a finished run, got {}, which was interrupted; repeat the command that "
        "started it, which continues it.",
    ),
    "bundle-schema": (
        "Expected schema {} in {}, got {}; export the bundle again, or install the edge-mnist "
        "that wrote it.",
    ),
    "bundle-secret-key": (
        "Expected a key whose password takes 1 GiB of memory at most, got 2^{} GiB; make "
        "another with: edge-mnist keygen",
        "Expected a secret key of minisign or edge-mnist keygen at {}, got: {}; name the "
        ".key file.",
        "Expected {} MiB of memory for a key's password, got less; use a machine with more, "
        "or a key without a password.",
    ),
    "bundle-signature": (
        "Expected a signature of minisign in {}, got {}; copy the bundle again.",
        "Expected the signature of {} to fit its manifest, got one of other content; copy "
        "the bundle again, or sign it again.",
    ),
    "bundle-size": (
        "Expected {} to have {} bytes as its manifest says, got {}; copy the bundle again.",
    ),
    "bundle-trust": (
        "Expected a trusted key (a .pub file, a folder of them, or the text of a key), got "
        "none in {}; make one with: edge-mnist keygen",
        "Expected a public key of minisign at {}, got {}; replace or delete it.",
        "Expected to read the folder of trusted keys {}, got: {}; give this user the right "
        "to read it, or set XDG_CONFIG_HOME to another folder.",
    ),
    "bundle-unreadable": ("Expected to read {}, got: {}.",),
    "bundle-unsigned": (
        "Expected a bundle that a trusted key signed, got {} without a signature; sign it "
        "with: edge-mnist sign {} --key KEY",
        "Expected a bundle signed by {}, got the file {}, which no manifest lists; make a "
        "bundle of it with: edge-mnist bundle",
    ),
    "camera-busy": ("Expected {} to be free, got: {}; close the program that uses it.",),
    "camera-clip": (
        "Expected a clip (a folder of pictures, GIF, WebP, TIFF, Motion JPEG or a video), got {}: "
        "{}; record it again, or convert it.",
    ),
    "camera-library": (
        "Expected the package av (PyAV) to read {} with, got none installed; install with: {}, or "
        "on Raspberry Pi OS: sudo apt install python3-av",
    ),
    "camera-lost": ("Expected a frame of {}, got: {}; plug the camera in again.",),
    "camera-missing": ("Expected a camera at {}, got: {}; plug it in, or name another.",),
    "camera-module": (
        "Expected a frame of the camera module, got: {}; check its cable, and close the program "
        "that uses it: rpicam-hello --list-cameras",
    ),
    "camera-none": (
        "Expected a USB camera or a Raspberry Pi camera module, got none; plug one in, or name a "
        "clip or a device: edge-mnist camera /dev/video0",
    ),
    "camera-permission": (
        "Expected permission to read {}, got: {}; join the group video with: sudo usermod -aG "
        "video $USER, and log in again.",
    ),
    "camera-picamera2": (
        "Expected Picamera2 to read a camera module with, got none installed; install it with: "
        "sudo apt install python3-picamera2, into an environment made with: python3 -m venv "
        "--system-site-packages",
    ),
    "camera-short": (
        "Expected two frames or more to time, got fewer in {}; record a longer clip.",
    ),
    "camera-source": (
        "Expected a clip, a folder of pictures, a device such as /dev/video0, or picamera2, got "
        "{}, which does not exist; check the name.",
    ),
    "camera-window": (
        "Expected a display for a window, got: {}; show the camera on a page with --serve, or only "
        "lines with --no-window.",
    ),
    "cluster-address": (
        "Expected a Ray cluster at {}, got no answer; start one with `ray start --head`, and give "
        "auto on one of its machines, or HOST:PORT.",
    ),
    "cluster-data": (
        "Expected the data and the teacher of the sweep on every machine, got other ones on {}; "
        "copy them there.",
    ),
    "cluster-folder": (
        "Expected the folder {} on every machine of the cluster, got none on {}; choose an --out "
        "that all of them share.",
    ),
    "cluster-job": (
        "Expected the cluster to run the job, got: {}; each machine needs this version of "
        "edge-mnist, and pyarrow.",
    ),
    "cluster-model": (
        "Expected the model {} on every machine, got {} on {}: {}; copy the same bundle to all.",
    ),
    "cluster-ray": ("Expected Ray, which is not installed; {}",),
    "cluster-worker": (
        "Expected a result of {}, got none: {}; a picture there may need too much memory, or "
        "crash a library.",
    ),
    "data-arrays": (
        "Expected x_train, y_train, x_test and y_test, or images and labels, in {}, got {}; "
        "rename the arrays.",
        "Expected {} to be an array, got rows of different lengths; make all images equal in size.",
    ),
    "data-benchmark-rows": (
        "Expected rows of the same file, backend, threads and batch in {} and {}, got none in "
        "common.",
    ),
    "data-benchmark-schema": (
        "Expected a benchmark file of schema {} (edge-mnist benchmark --json FILE), got {}: {}.",
    ),
    "data-benchmark-unreadable": ("Expected a benchmark file at {}, got: {}.",),
    "data-classes": (
        "Expected the names of classes as text in {}, got characters that are none; write them "
        "with numpy.savez.",
        "Expected two or more classes in {}, each with a name of its own, got {} for labels of "
        "0 to {}; check labels and classes.",
    ),
    "data-content": (
        "Expected MNIST's {} in {}, got {}; replace the file with a fresh download",
        "Expected an IDX file of bytes at {}, got {}; replace the file with a fresh download",
    ),
    "data-duration": ("Expected a duration of 1s to 168h such as 30s, 10m or 1h, got {}.",),
    "data-empty": ("Expected images for {} in {}, got none; add some.",),
    "data-few": (
        "Expected at least {} training images, one of them for validation, got {} in {}; add some.",
    ),
    "data-folders": (
        "Expected one folder of pictures per class in {}, got {} such folders; give each of two "
        "or more classes a folder.",
    ),
    "data-history": (
        "Expected {} as edge-mnist train writes it, got another file ({}); delete it to do "
        "without training curves.",
    ),
    "data-images": (
        "Expected images (n, h, w), (n, h, w, 1) or (n, h, w, 3) in {}, got {}; convert them.",
        "Expected images of shape (n, {}) for this model in {}, got {}; resize them.",
        "Expected uint8 pixels, or floats in [0, 1], in {}, got {}{}; convert them.",
    ),
    "data-incomplete": (
        "Expected {} (plain or .gz) or mnist.npz in {}, got no {}; check the path, or put the "
        "files there",
        "Expected {} beside each other, got {} without {}; put the files in one folder",
    ),
    "data-kind": (
        "Expected data to be auto, mnist, synthetic, a path, or a mapping with the arrays "
        "x_train, y_train, x_test and y_test, got {}; put the arrays into a dict.",
    ),
    "data-label-count": (
        "Expected {} labels, one for each output of the model in its order, got {} ({}) in "
        "--labels.",
    ),
    "data-label-names": (
        "Expected the names of the classes in {} ({}) in any order in --labels, got {}; correct "
        "the option.",
    ),
    "data-label-order": (
        "Expected the classes of {} in the order of the model's outputs, got {}: accuracy {} on "
        "{}, and {} with --labels {}; add that option.",
    ),
    "data-labels": (
        "Expected labels of shape (n,), integers 0 to 9, got {} {} with values {}; give one "
        "digit per image",
        "Expected labels of 0 to {} in {}, got {} to {}; number the classes from 0.",
        "Expected as many labels as images in {}, got {} images and {} labels; give one label "
        "per image.",
        "Expected labels of 0 to {} in {}, got {} as the greatest; number the classes from 0.",
        "Expected labels (n,) of integers, or one-hot (n, classes), in {}, got {} {}; convert "
        "them.",
    ),
    "data-limit": ("Expected a limit of at least 1 image, got {}; leave it out for all",),
    "data-model-mismatch": (
        "Expected images of shape {} of {} classes for this model, got {} of {} in {}; give its "
        "data with --data.",
    ),
    "data-npz": ("Expected an .npz of plain arrays, got {}: {}; write it with numpy.savez.",),
    "data-own": (
        "Expected data in {}: a subfolder of pictures for each class, or four IDX files under "
        "MNIST's names, got neither; check the path.",
    ),
    "data-path": (
        "Expected a folder or file of MNIST, got {}, which does not exist; check the path, or "
        "give auto, mnist or synthetic to --data",
        "Expected an .npz or one of {} (plain or .gz), got {}; give the folder that holds MNIST",
        "Expected the path of MNIST, got {}: {}",
        "Expected MNIST at {}, which cannot be read: {}; check the path and its permissions",
    ),
    "data-pixel-span": (
        "Expected images that span most of the pixels 0 to 255, got {} to {} in {}: pixels "
        "scaled twice? Give uint8 in 0…255, or floats in 0…1.",
    ),
    "data-recipe": (
        "Expected --recipe plain with data of your own, got {}, whose augmentation and outliers "
        "are made for MNIST's digits; leave --recipe out.",
    ),
    "data-run": (
        "Expected the data that {} was trained on, got a run whose data was in memory or is "
        "gone; give it with --data.",
    ),
    "data-size": (
        "Expected images large enough for the convolutions of {}, got {}×{} pixels; give --size "
        "28x28 for pictures, or enlarge the arrays.",
    ),
    "data-unavailable": (
        "Expected MNIST in the cache or at a mirror, got none ({}); connect to a network once, "
        "or set {} or --data to a folder that holds MNIST",
    ),
    "gate-accuracy": ("Expected an accuracy of at least {} % on {}, got {} of {} on {}.",),
    "gate-benchmark-failed": ("Expected every row of A in B, got one that failed: {}",),
    "gate-benchmark-row": ("Expected {} rows, got {} that failed; their reasons stand above.",),
    "gate-benchmark-slower": (
        "Expected no median over {} slower, got {}, the worst {} on {} at {} times.",
    ),
    "gate-benchmark-unclear": (
        "Expected a clear verdict on every row, got {} unclear, such as {} on {}; measure for "
        "longer, or on an idle machine.",
    ),
    "gate-c": (
        "Expected {} output bytes of the compiled C program, got {}, and exit status {}; report "
        "this as a bug.",
        "Expected the compiled C program to equal the arithmetic to the byte, got {} of {} "
        "images that differ, by at most {} steps, with {}; try another compiler.",
        "Expected the C sources to compile with {}, got: {}",
    ),
    "gate-examples": (
        "Expected {} on {} to answer the {} examples of its bundle as the manifest states, got {} "
        "other answers; export the bundle again, or leave that runtime out with --backend.",
    ),
    "gate-export": (
        "Expected a drop of at most {} points, agreement of at least {} % and errors within "
        "tolerance, got: {}. {}; {}.",
    ),
    "gate-shards": (
        "Expected a result of each of {} shards, got {} without; the warnings say why, and the "
        "same command does only these.",
    ),
    "gate-sweep": (
        "Expected every trial to finish, got {} of {} that failed; the reasons stand below the "
        "table, and the same command tries them again.",
    ),
    "gate-verify": (
        "Expected the {} files of {} as they were signed, got {} that are not; copy the "
        "bundle again.",
    ),
    "host-backend-loaded": (
        "Expected Keras on {}, got a process in which it was loaded on {}; set KERAS_BACKEND={} "
        "before Keras is imported.",
    ),
    "host-backend-missing": (
        "Expected the package {} for KERAS_BACKEND={}, which is not installed; install it with: "
        "pip install {}",
    ),
    "host-backend-unknown": (
        "Expected KERAS_BACKEND to be {}, got {}; set it to one of these, or unset it.",
    ),
    "host-devices-batch": (
        "Expected a number of devices that divides the batch of {} images, got {}; give one of {}.",
    ),
    "host-devices-few": (
        "Expected at most {} devices, which {} sees here, got {}; give a smaller number{}.",
    ),
    "host-devices-processes": (
        "Expected a multiple of {} devices, as many for each process, got {}; give another number.",
    ),
    "host-missing": (
        "Expected the host package edge-mnist-export for `edge-mnist {}`, which is not "
        "installed; install it with: {}.",
        "Expected the host package edge-mnist-export, which draws the photographs of --data "
        "paper, got none installed; install it with: {}.",
    ),
    "host-processes-absent": (
        "Expected {} processes at {}, got fewer within 300 s; start every process, and let each "
        "reach that port of process 0.",
    ),
    "host-processes-differ": (
        "Expected the same {} in all processes, got another one in process {} than in process 0 "
        "(here {}); give every process the same options, data and versions.",
    ),
    "host-processes-environment": (
        "Expected {}, got {}; set all three for each process, or none of them.",
    ),
    "host-processes-late": (
        "Expected several processes to connect before JAX is used, got: {}; train in a new "
        "process.",
    ),
    "host-processes-lost": (
        "Expected {} processes to the end, got one that ended or cannot be reached; look at its "
        "last line, then repeat the same commands, which continue the run.",
    ),
    "host-processes-tensorflow": (
        "Expected one process with TensorFlow, got {} by {}, on which Keras 3 cannot train with "
        "TensorFlow; set KERAS_BACKEND=jax, or unset {}.",
    ),
    "image-avif": (
        "Expected a picture that can be read here, got AVIF, which needs Pillow 11.3 or later: {}; "
        "save the picture as JPEG.",
    ),
    "image-broken": (
        "Expected a whole picture, got a broken one: {} ({}).",
        "Expected a whole picture, got a truncated or broken one: {} ({}).",
    ),
    "image-format": ("Expected a picture (PNG, JPEG, …), got {}: {}.",),
    "image-grid": (
        "Expected a form with cells between printed lines, got {} without such a grid; take a "
        "sharper picture from straight above.",
    ),
    "image-heic": (
        "Expected a picture that can be read here, got HEIC, which needs pillow-heif: {}; "
        "install it with: {}, or save the picture as JPEG.",
    ),
    "image-missing": ("Expected a picture at {}, got: {}.",),
    "image-none": ("Expected pictures in the folder {}, got none.",),
    "image-range": ("Expected {} pixels in [0, {}], got {} to {}; scale them first.",),
    "image-shape": (
        "Expected images of shape {} and dtype uint8, got {} {}; {}",
        "Expected images of one size, {}, got several; {}",
        "Expected an image of shape (h, w), (h, w, 3) or (h, w, 4), got {} {}; for many MNIST "
        "images use predict_batch.",
    ),
    "image-stdin": ("Expected a picture on standard input, got none: it is closed.",),
    "image-too-large": (
        "Expected a picture of at most {} megapixels, got {} ({}); make it smaller first.",
        "Expected a picture of at most {} MB on standard input, got more; make it smaller first.",
        "Expected a picture of at most {} MB, got {} bytes; make it smaller first.",
    ),
    "image-too-small": (
        "Expected a picture of {} pixels or more a side, got {} ({}); a digit needs more pixels.",
    ),
    "image-type": ("Expected a path, bytes, a PIL image or an array, got {}; convert it first.",),
    "image-unreadable": (
        "Expected {} readable pictures, got {} that are not; the warnings name them.",
    ),
    "image-vector": (
        "Expected a picture of pixels, got a drawing ({}) in {}, which another program would "
        "have to draw; save it as PNG first.",
    ),
    "model-arch-or-limits": (
        "Expected --arch or limits to choose it by, got both; leave --arch {} out.",
    ),
    "model-batch": (
        "Expected --batch with .onnx files, got only {}; a .tflite file takes one image at a time.",
    ),
    "model-batch-mixed": (
        "Expected a model that answers the images of a batch as it answers each alone, got {} "
        "with other answers to {} of {} images on {}; write it with a batch of 1.",
    ),
    "model-chance": (
        "Expected a model that reads {} better than chance, got accuracy {} on {}, where chance "
        "is {}; train it on such images, with the classes in this order: {}.",
    ),
    "model-channels": ("Expected one mean and deviation, or one for each of {} channels, got {}.",),
    "model-classes": (
        "Expected a model of {} classes for {}, got {} with {}; choose other --data or another "
        "model.",
    ),
    "model-dtype": ("Expected a tensor of {}, got {} for {} in {}.",),
    "model-external-weights": (
        "Expected the weights inside {}, got some in other files, which no manifest vouches "
        "for; save it as one file.",
    ),
    "model-format": (
        "Expected a .{} file for backend {}, got only .{}; choose another backend or export "
        "that format.",
        "Expected a bundle folder, a .tflite or an .onnx file, got {}{}",
    ),
    "model-has-manifest": (
        "Expected a .tflite or .onnx file without a manifest, got {}, whose manifest is {}; "
        "copy that folder to the device as it is.",
    ),
    "model-html": (
        "Expected a model of grey digits 0 to 9 for a page to draw on, got images of {}×{}×{}, "
        "the labels {}, … and an input of {} values; leave out the format html.",
    ),
    "model-input-dtype": (
        "Expected an input of floats or integers, got {} for {}.",
        "Expected a model that takes float32 images, got {} in {}.",
    ),
    "model-input-range": (
        "Expected the range of pixels that this model was trained on, got --input-range {}: "
        "accuracy {} on {}, and {} with --input-range {}; give that, or leave the option out.",
    ),
    "model-input-scale": (
        "Expected a scale and zero point for the {} input {}, or pixels as they are, got no "
        "scale in the file and pixels in {} to {}; try --scale 1.",
    ),
    "model-input-shape": (
        "Expected a model whose input is one {}, got shape {} in {}.",
        "Expected a model from images (height, width, 1 or 3) of a fixed size, got an input of "
        "shape {} in {}.",
    ),
    "model-inputs": ("Expected one input, the image, got {} in {}: {}.",),
    "model-int8-onnx": (
        "Expected every op of the int8 ONNX file between integers, got {} ({}) in float; "
        "replace that layer, or export without --int8.",
        "Expected ops that ONNX Runtime computes in integers in the int8 ONNX file, got {} "
        "({}), for which it has only a float kernel; replace that layer, or export without "
        "--int8.",
    ),
    "model-int8-tflite": (
        "Expected integers only in the int8 TFLite file, got {} in float ({}); replace that "
        "layer, or export without --int8.",
    ),
    "model-interface": ("Expected a model with one input and one output, got {} and {}{} in {}.",),
    "model-keras-file": (
        "Expected a Keras model (.keras or .h5) at {}, got {}; train one with: edge-mnist train",
    ),
    "model-kind": ("Expected a run, a path or a Keras model, got {}.",),
    "model-labels": (
        "Expected an output of {} {}, got shape {} in {}.",
        "Expected the labels 0, 1, … to evaluate on digits, got {}, … in {}; give the model's "
        "own data with --data.",
    ),
    "model-labels-form": (
        "Expected --labels one-hot with an augmented recipe, whose images without a digit have "
        "soft labels, got sparse; leave --labels out.",
    ),
    "model-layers": (
        "Expected a model file whose layers can be read, got {} with {}; export it again.",
    ),
    "model-limits": (
        "Expected limits within which an architecture fits, got {}; the smallest here is {} "
        "with {} bytes, the fastest {} with {} µs; raise the limits.",
    ),
    "model-limits-backend": (
        "Expected KERAS_BACKEND=tensorflow with --max-size and --max-latency-us, got {}; give "
        "the --arch that they choose there.",
    ),
    "model-malformed": ("Expected a sound {} model, got {} with {}; {}",),
    "model-names": ("Expected names in UTF-8, got other bytes in {}; export the model again.",),
    "model-not-built": (
        "Expected a model with a defined input, got one that was never built in {}; begin it "
        "with keras.Input, and save it again.",
    ),
    "model-not-convertible": (
        "Expected a model that can be converted to {}, got: {} ({}); replace that layer, or "
        "leave out that format or precision.",
    ),
    "model-not-digits": (
        "Expected a model of grey digits 0 to 9 to read several in one picture, got {} with {} "
        "channels and the labels {}, …; use predict on one picture each.",
    ),
    "model-not-finite": (
        "Expected finite scores, got none for any of {} images in {}.",
        "Expected finite outputs, got NaN or infinity from {}; the file is broken, or its weights "
        "or pixels are too large.",
    ),
    "model-not-keras": (
        "Expected a Keras model (.keras, .h5 or a SavedModel) or a run folder, got the {} {}; {}.",
    ),
    "model-not-measured": ("Expected to measure {} on {}, got: {}",),
    "model-option": ("Expected {} to be {}, got {}.",),
    "model-output-finite": (
        "Expected finite outputs of the model, got NaN or infinity; train it again.",
    ),
    "model-output-scores": (
        "Expected probabilities that sum to 1, or logits, got scores in 0…1 that are neither; "
        "end the model in a softmax, not a sigmoid.",
    ),
    "model-output-shape": (
        "Expected a model with one output number per class, got an output of shape {} in {}.",
    ),
    "model-outputs": (
        "Expected one output of scores (n, classes), got {} among {} outputs in {}: {}.",
        "Expected an output of two scores or more for every image, got shape {} for {} in {}.",
    ),
    "model-precision": (
        "Expected a {} file in the bundle, got only {}.",
        "Expected an int8 file for backend {}, got only {}; choose another backend or export "
        "with --int8.",
    ),
    "model-program": (
        "Expected an int8 model that a program without a runtime can follow, got {}; run its "
        ".tflite file with a runtime instead.",
    ),
    "model-program-file": (
        "Expected an int8 .tflite file in a bundle, of which programs are made, got {}; export "
        "it with: edge-mnist export --int8",
        "Expected an int8 or float32 .onnx file in a bundle, of which a model repository is made, "
        "got {}; export it with: edge-mnist export",
    ),
    "model-program-format": (
        "Expected only {} as --format of a bundle, got {}; give the run or the Keras model "
        "instead.",
    ),
    "model-program-operator": (
        "Expected operators that have an integer arithmetic for --format {}, got {} in {}; "
        "replace that layer, or leave the format out.",
    ),
    "model-quantization": (
        "Expected the scale and zero point of {} in the metadata of {} to be such, got {}; "
        "export the model again.",
        "Expected a scale in {} to {} for the tensor {}, got {}; export the model again.",
    ),
    "model-recurrent": (
        "Expected a model without recurrent layers, got {} in {}; TensorFlow's converter "
        "crashes on these.",
    ),
    "model-refused": (
        "Expected a TFLite model that this runtime can load, got {}: {}",
        "Expected a TFLite model that this runtime can load, got {} with {}; {}",
        "Expected an ONNX model that this runtime can load, got {}: {}",
    ),
    "model-run": ("Expected {} to take an image of shape {}, got: {}",),
    "model-scaling": (
        "Expected finite numbers to scale pixels with, and neither a scale nor a deviation of "
        "0, got {}.",
        "Expected a mean and a deviation, or one for every channel, got none.",
        "Expected pixels that are finite {} numbers, got infinite ones of {}.",
    ),
    "model-scaling-stated": (
        "Expected a scale, mean or deviation only for a file without a manifest, got {}, whose "
        "manifest says how pixels are scaled; leave them out.",
    ),
    "model-signature": (
        "Expected a SavedModel with a signature {} of one input, got {} in {}; export it from "
        "Keras with model.export({}).",
    ),
    "model-sweep-backend": (
        "Expected KERAS_BACKEND=tensorflow for a sweep, which also converts, got {}; unset it.",
    ),
    "model-sweep-space": ("Expected {} in {}, got {}; docs/how-to/sweep.md describes the file.",),
    "model-target": (
        "Expected files that {} can load, got {}, which {}; leave that precision out, or export "
        "for another --target.",
    ),
    "model-target-format": (
        "Expected a format that {} can load ({}), got {}, for which there is no runtime; leave "
        "it out of --format, or export for another --target.",
    ),
    "model-target-unknown": ("Expected a target of {}, got {}.",),
    "model-teacher": (
        "Expected a teacher that classifies digits of 28×28, got {} with input {} and {} "
        "labels; choose another with --teacher.",
    ),
    "model-teacher-recipe": (
        "Expected --teacher with an augmented recipe, got one without augmentation; give "
        "--recipe standard too.",
    ),
    "model-temperature": (
        "Expected --temperature with a teacher, got a run that learns from the labels alone; "
        "leave it out.",
    ),
    "model-too-new": ("Expected a model that {} {} can load, got {}, which needs {}; {}",),
    "model-weight-dtype": (
        "Expected a model of float32 weights, got {} in {}; build it with the float32 policy "
        "and load its weights.",
    ),
    "model-weights-finite": (
        "Expected weights that are numbers, got NaN or infinity in {}; train it again.",
    ),
    "model-weights-hash": (
        "Expected the weights that run.json records in {}, got others; export the file from a "
        "folder without run.json, with its --data.",
    ),
    "model-worker-start": ("Expected to start a process for {}, got: {}.",),
    "no-digit": ("Expected a digit, got {}; write it larger or darker, or come closer.",),
    "output-closed": (
        "Expected an open standard output, got a closed one; send it to a file or to {}.",
    ),
    "output-exists": (
        "Expected a new or empty folder, got {}, which holds something; choose another with "
        "{}, or delete it.",
        "Expected a name for a new key, got {}, whose {} exists; choose another with --out.",
    ),
    "output-folder": (
        "Expected a folder for the preprocessed pictures, got the file {}; choose another.",
    ),
    "output-hub-place": (
        "Expected a folder for the Hub outside the bundle {}, got {}; choose another with --hf.",
    ),
    "output-is-a-folder": ("Expected a file to write, got the folder {}; add a file name.",),
    "output-is-input": (
        "Expected a folder without the pictures themselves, got {}, where {} would be "
        "overwritten; choose another.",
    ),
    "output-key": ("Expected to write the new file {}, got: {}; choose another with --out.",),
    "output-locked": (
        "Expected {} for this job alone, got another that writes there; wait for its end, or "
        "choose another folder.",
    ),
    "output-name": (
        "Expected pictures of different names to save their model inputs, got {} and {}; save "
        "them one after the other.",
    ),
    "output-not-a-folder": ("Expected a folder to write to, got the file {}; choose another.",),
    "output-other-job": (
        "Expected {} {} as in the job that began {}, got {}; give the same, or choose another "
        "folder.",
    ),
    "output-run-finished": (
        "Expected a new or empty folder, got {}, which holds a finished run; choose another "
        "with --out, or delete it.",
    ),
    "output-run-locked": (
        "Expected to train in {}, got a folder in which another process is training; wait for "
        "it, or choose another folder with --out.",
    ),
    "output-run-recipe": (
        "Expected the settings of the unfinished run in {} ({}), got other ones; use the same "
        "settings, or choose another folder with --out.",
    ),
    "output-stale": (
        "Expected results of the input as it is now in {}, got {} others, such as {}; delete them, "
        "or choose another folder.",
    ),
    "output-store": (
        "Expected to write to the store {}, got: {}; make room there, or choose another with "
        "--store.",
    ),
    "output-store-room": (
        "Expected {} free bytes in the store {}, got {}; make room there, or choose another with "
        "--store.",
    ),
    "output-sweep-locked": (
        "Expected to sweep in {}, got a folder to which another sweep writes; wait for it, or "
        "choose another folder with --out.",
    ),
    "output-sweep-space": (
        "Expected the sweep of this space in {}, got that of another one; choose another folder "
        "with --out.",
    ),
    "output-unwritable": (
        "Expected to write {}, got: {}; choose another place.",
        "Expected to write to the folder {}, got: {}; choose another.",
    ),
    "score-array": (
        "Expected images of shape (n, {}) and dtype uint8 in {}, got {} {}; convert them.",
    ),
    "score-column": ("Expected one {} of images in {}, got {}; choose one with --column.",),
    "score-empty": ("Expected pictures in {}, got none; leave it out.",),
    "score-file": ("Expected to read {}, got: {}; check it, or write it again.",),
    "score-input": (
        "Expected pictures, or .npy, .npz, .parquet or .tar files, in {}, got {}; name a file, or "
        "a folder with files of one kind.",
    ),
    "score-null": ("Expected a picture, got null; leave out such rows, or fill them.",),
    "score-pyarrow": ("Expected pyarrow for Parquet, which is not installed; {}",),
    "serve-address": (
        "Expected to listen on {}, port {}, got: {}; choose another with --host and --port.",
    ),
    "serve-missing": ("Expected {} to serve with, got none installed; install with: {}",),
    "serve-token": (
        "Expected a token of {} characters or more, got {}; choose a longer one, or omit "
        "--token to have one generated.",
    ),
}
