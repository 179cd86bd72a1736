namespace oxbow::storage {}
