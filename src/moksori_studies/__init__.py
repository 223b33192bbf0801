"""Studies: the ideas behind the method, as small programs to read and to run.

    python -m moksori_studies.memory            what a recurrent net keeps in mind, and for how long
    python -m moksori_studies.translation       a sequence into another: encoder, decoder, attention, beam
    python -m moksori_studies.back_translation  three ways to learn from text in one language only
    python -m moksori_studies.bayes             naive Bayes is a softmax

A side room: nothing in `moksori` imports it but the command that starts it, and it needs nothing of `moksori` but its
errors and its way of writing files.
"""
