// Package image holds the rules of rebasing an image's configuration: the
// three-way merge of the config, the splice of the history, the discovery of
// the old base, the base annotations, and the match of platforms.
//
// Everything here is a pure function of its arguments: no files, no network, no
// clock. The bytes come from the caller, and so does the time that the result
// is stamped with. The same input gives the same output, byte for byte.
//
// The measure of every rule is the rebuild: where the Dockerfile that made the
// image would give a value on the new base, the merge gives the same one. Where
// the image alone does not tell (a value that the image and its base both
// changed, an old base that is gone), the result says so in its conflicts and
// notes.
package image
