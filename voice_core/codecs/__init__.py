def load_codec(name):
    raise NotImplementedError
