"""A camera or a clip in; digits as they change, drawn frames, a window or a page out.

From the camera to the answer:

watch.py       all of it together, with its threads
source.py      which camera or clip; usb.py, pi_camera.py, clip.py: their frames; pyav.py
following.py   waits for a camera that is gone
newest.py      the newest item of a thread; older ones are dropped
reading.py     frames in, readings out; smoothing.py: when the answer changes
overlay.py     box, digit and frames a second on the frame
window.py, page.py, page/  where the frames are shown
timing.py      frames a second of a clip, by stage
"""
