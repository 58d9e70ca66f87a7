// Everything is in post.mjs.
