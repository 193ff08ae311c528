"""An authentication backend that knows permissions on single records."""

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Group

from mandate.models import Agent


class RecordPermissions(BaseBackend):
    """A user holds a permission for the groups that the user is a member of, and for agents named like one."""

    def has_perm(self, user_obj, perm, obj=None):
        if isinstance(obj, Agent):
            return user_obj.groups.filter(name=obj.slug).exists()
        return isinstance(obj, Group) and user_obj.groups.filter(pk=obj.pk).exists()
